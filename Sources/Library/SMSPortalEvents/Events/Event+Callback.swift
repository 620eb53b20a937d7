extension Event {
    /// Understands a callback, as the bridge does.
    ///
    /// It makes a decoder for the one callback, some ten microseconds; for many, keep a ``CallbackDecoder``.
    ///
    /// - Parameters:
    ///   - callback: The callback.
    ///   - receivedAt: When it was received.
    ///   - configuration: What to add to the vendor's contract; the first account counts.
    /// - Throws: ``DecoderConfigurationError``.
    public init(
        callback: Callback, receivedAt: EventTime, configuration: DecoderConfiguration = DecoderConfiguration()
    ) throws(DecoderConfigurationError) {
        self = try CallbackDecoder(configuration).event(from: callback, receivedAt: receivedAt)
    }

    /// The event decoded again from its ``Envelope/raw``: after a change of the configuration or of this library, what was
    /// unrecognised may be understood.
    ///
    /// Account, time of reception, trace context and whether it was imported stay. The id is the same as ever where it is made from the callback; where
    /// it is random (``EventIDBasis/reception``) the event keeps the one that it has.
    ///
    /// - Parameter decoder: How callbacks are understood now.
    public func redecoded(by decoder: CallbackDecoder) -> Event {
        var event = decoder.event(from: raw, receivedAt: receivedAt, account: account)
        event.envelope.traceparent = envelope.traceparent
        event.envelope.tracestate = envelope.tracestate
        event.envelope.isImported = envelope.isImported
        if event.idBasis == .reception, idBasis == .reception { event.envelope.id = id }
        return event
    }
}

extension CallbackDecoder {
    /// Understands a callback.
    ///
    /// - Parameters:
    ///   - callback: The callback.
    ///   - receivedAt: When it was received.
    /// - Returns: The event; of type ``EventType/unrecognised`` when the callback makes no sense.
    public func event(from callback: Callback, receivedAt: EventTime) -> Event {
        event(from: callback, receivedAt: receivedAt, account: nil)
    }

    /// - Parameter account: A name that need not be configured; nil for the first that is.
    func event(from callback: Callback, receivedAt: EventTime, account: String?) -> Event {
        let buffer = RecordBuffer()
        decode(callback, receivedAt: receivedAt, account: account, into: buffer)
        let result = buffer.withValue { value in
            // What our own writer wrote can be read; a test holds millions of callbacks against that.
            Result { () throws(EventDecodingError) in try EventReader().event(value: value) }
        }
        switch result {
        case .success(let event): return event
        case .failure(let error):
            return .unrecognised(
                Unrecognised(
                    envelope: Envelope(
                        id: buffer.id, idBasis: .reception, account: account ?? "default", receivedAt: receivedAt,
                        raw: callback),
                    reason: .unknownShape, detail: "\(error)"))
        }
    }
}
