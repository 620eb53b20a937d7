internal import SMSBridgeTelemetry
public import SMSPortalEvents

/// Where an event stands and how it came: what a handler gets beside the event.
///
/// It may be kept after the handler has returned; headers are read when they are asked for.
public struct EventContext: Sendable {
    let block: ConsumedBlock

    init(_ block: ConsumedBlock) { self.block = block }

    private var envelope: Envelope { block.envelope ?? Envelope(.record(block.event)) }

    /// The consumer group.
    public var group: String { block.facts.group }
    /// 1 when the event is handled for the first time, as far as this member of the group knows.
    public var attempt: Int { block.attempt }
    /// The event's id: the same for every repeat, as far as ``eventIDBasis`` allows.
    public var eventID: String { envelope.id }
    /// What the id was made from.
    public var eventIDBasis: EventIDBasis { envelope.idBasis }
    /// When the bridge received the callback.
    public var receivedAt: EventTime { envelope.receivedAt }
    /// When it happened, as the vendor says; nil when it does not.
    public var occurredAt: EventTime? { envelope.occurredAt }
    /// W3C Trace Context of the vendor's request, when it had one.
    public var traceparent: String? { envelope.traceparent }
    /// The state that belongs to ``traceparent``.
    public var tracestate: String? { envelope.tracestate }
    /// Whether the event is handled for a replay, and not because it is new: of a ``Replay``, of its dead letters, or
    /// because `smsbridge replay` has written it to the topic that is read.
    public var isReplay: Bool { replayName != nil }
    /// The name of the replay; nil when the event is new.
    public var replayName: String? { block.replayName }
    /// Writes lines that carry the event's id and place.
    public var log: EventLogger { EventLogger(context: self) }

    /// The topic that the record was read from; ``isRedriven`` tells of what is not an event topic.
    public var topic: String { block.topic }
    /// The partition.
    public var partition: Int32 { block.partition }
    /// The offset.
    public var offset: Int64 { block.offset }
    /// The record's key: the subscriber's number in digits. nil where there is none.
    public var key: String? { block.event.withKey { $0.map { String(decoding: $0, as: UTF8.self) } } }
    /// All headers, in their order.
    public var headers: [EventRecord.Header] { block.holder.headers }
    /// Whether the event comes from this group's dead letters, to be handled again.
    public var isRedriven: Bool { block.holder.header(DeadLetterHeaders.originalTopic) != nil }
}

/// Writes log lines with the id and the place of an event: topic, partition, offset, attempt.
///
/// Do not write numbers and texts of subscribers: a log has other readers than the topic.
public struct EventLogger: Sendable {
    private let context: EventContext

    init(context: EventContext) { self.context = context }

    /// What helps to find a fault.
    public func debug(_ message: @autoclosure () -> String, _ fields: KeyValuePairs<String, String> = [:]) {
        write(.debug, message(), fields)
    }

    /// What an operator wants to see in ordinary times.
    public func info(_ message: @autoclosure () -> String, _ fields: KeyValuePairs<String, String> = [:]) {
        write(.info, message(), fields)
    }

    /// Something is not as it should be, and the service goes on.
    public func warning(_ message: @autoclosure () -> String, _ fields: KeyValuePairs<String, String> = [:]) {
        write(.warning, message(), fields)
    }

    /// Something failed that a person must look at.
    public func error(_ message: @autoclosure () -> String, _ fields: KeyValuePairs<String, String> = [:]) {
        write(.error, message(), fields)
    }

    private func write(
        _ level: SMSBridgeTelemetry.LogLevel, _ message: @autoclosure () -> String, _ own: KeyValuePairs<String, String>
    ) {
        let sink = context.block.facts.log
        guard sink.isEnabled(level) else { return }
        var fields: LogFields = [
            "event": context.eventID, "topic": context.topic, "partition": context.partition, "offset": context.offset,
            "attempt": context.attempt,
        ]
        for (name, value) in own { fields.append(name, value) }
        Logger(label: "handler", sink: sink).log(level, message(), fields)
    }
}
