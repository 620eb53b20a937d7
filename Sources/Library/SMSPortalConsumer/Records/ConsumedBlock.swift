internal import SMSBridgeKafka
internal import SMSBridgeTelemetry
internal import SMSPortalEvents
internal import Synchronization

/// What all records of a run have in common.
final class RunFacts: Sendable {
    let group: String
    /// The topics' names, by the position that records carry.
    let topics: [String]
    let log: LogSink
    /// The name of the replay that runs; nil for a live run.
    let replayName: String?

    init(group: String, topics: [String], log: LogSink, replayName: String?) {
        self.group = group
        self.topics = topics
        self.log = log
        self.replayName = replayName
    }
}

/// The record that is being handled: its event, its position, and its headers.
///
/// Headers are read from librdkafka's message when they are asked for, which most handlers never do: to parse them takes longer
/// than all the rest. So the message lives as long as its event is handled. A worker uses the block again for its next record;
/// when a handler has kept the event or the context, the worker gives the block up with a copy of the record in it.
///
/// `@unchecked Sendable`: it is written while only its worker knows it; what other threads may read at the same time is in
/// ``RecordHolder``.
final class ConsumedBlock: @unchecked Sendable {
    let facts: RunFacts
    let holder: RecordHolder
    /// Through a pointer: a class's own properties would be checked for exclusive access, each time.
    private let storage: UnsafeMutablePointer<EventBlock>
    private(set) var partition: Int32 = 0
    private(set) var offset: Int64 = 0
    private(set) var attempt = 1
    /// What another reader has found in the record; nil where the block's own event has it.
    private(set) var envelope: Envelope?

    init(_ facts: RunFacts) {
        self.facts = facts
        holder = RecordHolder(facts)
        storage = .allocate(capacity: 1)
        storage.initialize(to: EventBlock(headers: holder))
    }

    /// For a copy of a record, whose event another reader has found.
    init(_ facts: RunFacts, _ record: ConsumedRecord, envelope: Envelope, attempt: Int, topic: Int) {
        self.facts = facts
        holder = RecordHolder(facts)
        storage = .allocate(capacity: 1)
        storage.initialize(to: EventBlock(capacity: 64, headers: holder))
        self.envelope = envelope
        partition = record.partition
        offset = record.offset
        self.attempt = attempt
        record.withParts { key, _, _ in
            event.fill(value: UnsafeRawBufferPointer(start: nil, count: 0), key: key)
        }
        holder.begin(record, topic: topic)
    }

    deinit {
        storage.deinitialize(count: 1)
        storage.deallocate()
    }

    @inline(__always)
    var event: EventBlock { storage.pointee }

    var topic: String { facts.topics[holder.topicPosition] }

    /// Whether a handler has kept neither the event nor, as far as the block is concerned, what belongs to it.
    @inline(__always)
    var isEventUnique: Bool { isKnownUniquelyReferenced(&storage.pointee) }

    /// Takes over a message; its value is not null.
    @inline(__always)
    func begin(_ message: PolledMessage, _ taken: Taken, value: UnsafeRawBufferPointer) {
        event.fill(value: value, key: message.key)
        partition = message.partition
        offset = message.offset
        attempt = Int(taken.attempt)
        holder.begin(message, topic: Int(taken.topic))
    }

    /// The name of the replay that the event is handled for; nil for a live one.
    var replayName: String? {
        facts.replayName ?? holder.header(DeadLetterHeaders.replayName).map { String(decoding: $0, as: UTF8.self) }
    }
}

/// The record of a block in librdkafka's memory, or a copy of it.
///
/// `@unchecked Sendable`: `message` and `copy` are guarded by `state`, a spin lock: a handler's other tasks may read headers while
/// the event ends, and the polling thread copies the record of a handler that takes long. `topicPosition` is written by the
/// worker before `state` says that there is a message.
final class RecordHolder: EventHeaders, RecordHeaders, @unchecked Sendable {
    private enum Holding: UInt8, AtomicRepresentable {
        case nothing, message, copy
        /// A thread reads or replaces it.
        case busy
    }

    private let facts: RunFacts
    private let state = Atomic<Holding>(.nothing)
    private var message: UnsafeMutableRawPointer?
    private var copy: ConsumedRecord?
    private(set) var topicPosition = 0

    init(_ facts: RunFacts) { self.facts = facts }

    deinit {
        if let message { PolledMessage(address: message).destroy() }
    }

    // MARK: The worker

    /// Takes over a message; it holds nothing.
    @inline(__always)
    func begin(_ message: PolledMessage, topic: Int) {
        // The polling thread may be looking at what was held before.
        _ = lock()
        topicPosition = topic
        self.message = message.address
        state.store(.message, ordering: .releasing)
    }

    func begin(_ record: ConsumedRecord, topic: Int) {
        topicPosition = topic
        copy = record
        state.store(.copy, ordering: .releasing)
    }

    /// The event has ended: frees the message, or the copy.
    @inline(__always)
    func end() {
        let held = lock()
        if held == .message, let message {
            PolledMessage(address: message).destroy()
            self.message = nil
        } else {
            copy = nil
        }
        state.store(.nothing, ordering: .releasing)
    }

    /// Replaces the message by a copy of the record.
    ///
    /// - Returns: The copy; nil when nothing is held.
    @discardableResult
    func copyMessage() -> ConsumedRecord? {
        let held = lock()
        if held == .message, let address = message {
            let message = PolledMessage(address: address)
            copy = ConsumedRecord(message, topic: facts.topics[topicPosition])
            message.destroy()
            self.message = nil
        }
        let record = copy
        state.store(record == nil ? .nothing : .copy, ordering: .releasing)
        return record
    }

    @inline(__always)
    private func lock() -> Holding {
        while true {
            let seen = state.load(ordering: .relaxed)
            if seen != .busy,
                state.weakCompareExchange(
                    expected: seen, desired: .busy, successOrdering: .acquiring, failureOrdering: .relaxed
                ).exchanged
            {
                return seen
            }
        }
    }

    // MARK: Headers

    /// Visits the headers in their order.
    func forEachHeader(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer?) -> Void) {
        let held = lock()
        if held == .message, let message {
            PolledMessage(address: message).withRawHeaders { for header in $0 { body(header.name, header.value) } }
        } else {
            copy?.forEachHeader(body)
        }
        state.store(held, ordering: .releasing)
    }
}
