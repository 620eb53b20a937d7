import SMSPortalEvents
import Synchronization
import Testing

@testable import SMSPortalConsumer

/// What a handler is told of one record, and which claim is made for it.
struct EventProcessorTests {
    private final class Seen: Sendable {
        let lines = Mutex<[String]>([])

        func note(_ what: String, _ context: EventContext) {
            lines.withLock { $0.append("\(what) \(context.replayName ?? "live")") }
        }
    }

    private func work(_ event: Event, headers: [(name: String, value: [UInt8]?)] = []) -> Work {
        let record = event.record()
        return Work(
            record: ConsumedRecord(
                topic: "t", partition: 0, offset: 0, key: record.key, value: record.value,
                headers: record.headers.map { (name: $0.name, value: $0.value) } + headers),
            attempt: 1, failure: nil, assignment: AssignmentID(index: 0, generation: 0))
    }

    private func processor(_ seen: Seen) -> EventProcessor {
        var configuration = EventConsumer.Configuration(bootstrapServers: "nowhere:1", group: "g")
        configuration.log = .none
        configuration.processedEvents = InMemoryProcessedEvents()
        var handlers = EventHandlers()
        handlers.set(.deliveryStatus) { _, context in seen.note("status", context) }
        handlers.set(.unrecognised) { _, context in seen.note("unrecognised", context) }
        return EventProcessor(
            configuration, handlers: handlers, deadLetters: nil,
            metrics: ConsumerMetrics(configuration.metrics, group: "g"), control: ConsumerControl(), topics: ["t"])
    }

    /// A dead letter of a replay that is redriven, and what `smsbridge replay` has copied: the live run's claim must not
    /// make it a repeat, and the handler must know that it is not new.
    @Test func aRecordThatSaysItIsOfAReplayIsHandledAsOne() async {
        let seen = Seen()
        let processor = processor(seen)
        let event = status(1, 0)
        let replayed = [(name: "replay-name", value: Optional(Array("rebuild".utf8)))]
        for headers in [[], [], replayed, replayed] { _ = await processor.process(work(event, headers: headers)) }
        #expect(seen.lines.withLock { $0 } == ["status live", "status rebuild"])
    }

    /// The quarantine's event comes again under its first id once it is understood.
    @Test func whatIsUnderstoodLaterIsHandledThough() async throws {
        let seen = Seen()
        let processor = processor(seen)
        let event = status(1, 0)
        let before = Event.unrecognised(Unrecognised(envelope: event.envelope, reason: .unknownShape))
        for event in [before, before, event, event] { _ = await processor.process(work(event)) }
        #expect(seen.lines.withLock { $0 } == ["unrecognised live", "status live"])
    }

    /// An attempt that was cancelled because its time is over has failed, and is not left to the next owner of its partition.
    @Test func anAttemptThatTimedOutHasFailed() async {
        var configuration = EventConsumer.Configuration(bootstrapServers: "nowhere:1", group: "g")
        configuration.log = .none
        let errors = Mutex<[String]>([])
        configuration.failureForError = { error in
            errors.withLock { $0.append("\(type(of: error))") }
            return nil
        }
        var handlers = EventHandlers()
        handlers.set(.deliveryStatus) { _, _ in throw CancellationError() }
        let processor = EventProcessor(
            configuration, handlers: handlers, deadLetters: nil,
            metrics: ConsumerMetrics(configuration.metrics, group: "g"), control: ConsumerControl(), topics: ["t"])
        guard case .later(let later) = await processor.process(work(status(1, 0)), isTimedOut: { true }) else {
            Issue.record("it is not tried again")
            return
        }
        #expect(later.countsAttempt && errors.withLock { $0 } == ["AttemptTimedOut"])
    }

    @Test func aDeadLetterOfAReplayNamesIt() {
        let record = ConsumedRecord(topic: "t", partition: 0, offset: 0, key: nil, value: nil)
        let failure = Failure(type: .reply, kind: "Broken", message: "", attempts: 1)
        func names(_ record: ConsumedRecord, _ replay: String?) -> [String] {
            DeadLetterHeaders.headers(of: record, failure, group: "g", replay: replay)
                .filter { $0.name == "replay-name" }.map { String(decoding: $0.value ?? [], as: UTF8.self) }
        }
        #expect(names(record, nil) == [])
        #expect(names(record, "rebuild") == ["rebuild"])
        let redriven = ConsumedRecord(
            topic: "g-redrive", partition: 0, offset: 0, key: nil, value: nil,
            headers: DeadLetterHeaders.headers(of: record, failure, group: "g", replay: "rebuild"))
        #expect(names(redriven, nil) == ["rebuild"])
        #expect(names(redriven, "another") == ["another"])
    }
}
