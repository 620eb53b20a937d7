/// Events in the form of a record's value: the members of docs/events.md, times as RFC 3339 text, and beside them `traceparent`
/// and `tracestate`, where there are any. `JSONEncoder` writes what the bridge writes, but for order and white space. Nothing of an
/// event is lost.
///
/// It is for files, queues and HTTP bodies. ``EventReader`` reads records many times as fast.
extension Event: Codable {
    /// Writes the event.
    public func encode(to encoder: any Encoder) throws {
        var reader = JSONTreeReader(record().value)
        guard case .object(var members)? = reader.value() else {
            throw EncodingError.invalidValue(
                type, .init(codingPath: encoder.codingPath, debugDescription: "an event without a record"))
        }
        if let traceparent = envelope.traceparent { members["traceparent"] = .string(traceparent) }
        if let tracestate = envelope.tracestate { members["tracestate"] = .string(tracestate) }
        try JSONTree.object(members).encode(to: encoder)
    }

    /// Reads an event. Unknown members are skipped.
    ///
    /// - Throws: `DecodingError` for whatever is no event.
    public init(from decoder: any Decoder) throws {
        let tree = try JSONTree(from: decoder)
        var headers: [EventRecord.Header] = []
        if case .object(let members) = tree {
            for name in ["traceparent", "tracestate"] {
                if case .string(let text)? = members[name] {
                    headers.append(.init(name: name, value: Array(text.utf8)))
                }
            }
        }
        do throws(EventDecodingError) {
            self = try Event(value: tree.json, headers: headers)
        } catch {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: error.description))
        }
    }
}

extension Event {
    /// Reads an event of one type.
    ///
    /// - Throws: `DecodingError` for an event of another type, and for whatever is no event.
    static func payload<Payload>(
        _ expected: EventType, from decoder: any Decoder, _ payload: (Event) -> Payload?
    ) throws -> Payload {
        let event = try Event(from: decoder)
        guard let own = payload(event) else {
            throw DecodingError.typeMismatch(
                Event.self,
                .init(
                    codingPath: decoder.codingPath,
                    debugDescription: "expected a \(expected.rawValue) event, found \(event.type.rawValue)"))
        }
        return own
    }
}

/// In the form of an ``Event``.
extension DeliveryStatus: Codable {
    /// Writes the event.
    public func encode(to encoder: any Encoder) throws { try Event.deliveryStatus(self).encode(to: encoder) }

    /// Reads an event; throws `DecodingError` for other types.
    public init(from decoder: any Decoder) throws {
        self = try Event.payload(.deliveryStatus, from: decoder) {
            if case .deliveryStatus(let own) = $0 { own } else { nil }
        }
    }
}

/// In the form of an ``Event``.
extension Reply: Codable {
    /// Writes the event.
    public func encode(to encoder: any Encoder) throws { try Event.reply(self).encode(to: encoder) }

    /// Reads an event; throws `DecodingError` for other types.
    public init(from decoder: any Decoder) throws {
        self = try Event.payload(.reply, from: decoder) { if case .reply(let own) = $0 { own } else { nil } }
    }
}

/// In the form of an ``Event``.
extension ShortCodeMessage: Codable {
    /// Writes the event.
    public func encode(to encoder: any Encoder) throws { try Event.shortCode(self).encode(to: encoder) }

    /// Reads an event; throws `DecodingError` for other types.
    public init(from decoder: any Decoder) throws {
        self = try Event.payload(.shortCode, from: decoder) { if case .shortCode(let own) = $0 { own } else { nil } }
    }
}

/// In the form of an ``Event``.
extension URLPreview: Codable {
    /// Writes the event.
    public func encode(to encoder: any Encoder) throws { try Event.urlPreview(self).encode(to: encoder) }

    /// Reads an event; throws `DecodingError` for other types.
    public init(from decoder: any Decoder) throws {
        self = try Event.payload(.urlPreview, from: decoder) { if case .urlPreview(let own) = $0 { own } else { nil } }
    }
}

/// In the form of an ``Event``.
extension URLClick: Codable {
    /// Writes the event.
    public func encode(to encoder: any Encoder) throws { try Event.urlClick(self).encode(to: encoder) }

    /// Reads an event; throws `DecodingError` for other types.
    public init(from decoder: any Decoder) throws {
        self = try Event.payload(.urlClick, from: decoder) { if case .urlClick(let own) = $0 { own } else { nil } }
    }
}

/// In the form of an ``Event``.
extension Unrecognised: Codable {
    /// Writes the event.
    public func encode(to encoder: any Encoder) throws { try Event.unrecognised(self).encode(to: encoder) }

    /// Reads an event; throws `DecodingError` for other types.
    public init(from decoder: any Decoder) throws {
        self = try Event.payload(.unrecognised, from: decoder) {
            if case .unrecognised(let own) = $0 { own } else { nil }
        }
    }
}

/// As RFC 3339 text in UTC.
extension EventTime: Codable {
    /// Writes the moment as text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rfc3339)
    }

    /// Reads a moment from text; throws `DecodingError` for what is no RFC 3339 text in UTC.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let time = EventTime(rfc3339: try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no RFC 3339 text in UTC")
        }
        self = time
    }
}
