import SMSPortalConsumer
import SMSPortalTesting
import Synchronization
import Testing

/// Batch handlers keep what handlers of single events promise.
struct BatchTests {
    private final class Batches: Sendable {
        private let state = Mutex<[[BatchedEvent<DeliveryStatus>]]>([])
        var all: [[BatchedEvent<DeliveryStatus>]] { state.withLock { $0 } }
        var events: [BatchedEvent<DeliveryStatus>] { all.flatMap(\.self) }
        func add(_ batch: [BatchedEvent<DeliveryStatus>]) { state.withLock { $0.append(batch) } }
    }

    private struct Refused: Error {}

    /// So many delivery statuses of so many numbers, the first of each number before the second of any.
    private func statuses(numbers: Int, each count: Int) -> [Event] {
        (0..<count).flatMap { index in
            (0..<numbers).map { .deliveryStatus(.sample(msisdn: "2782\(1_000_000 + $0)", reference: "\(index)")) }
        }
    }

    @Test func everyEventIsHandledOnceInOrderOfItsNumber() async throws {
        let bridge = try await TestBridge(partitions: 3)
        let batches = Batches()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "batches"))
            .onDeliveryStatuses(maxCount: 10, maxDelay: .milliseconds(50)) { batches.add($0) }
        try await bridge.publish(statuses(numbers: 40, each: 10))
        try await bridge.run(consumer)
        #expect(batches.events.count == 400)
        var last: [String: Int] = [:]
        for batch in batches.all {
            #expect((1...10).contains(batch.count))
            #expect(Set(batch.map(\.context.partition)).count == 1, "a batch is of one partition")
            #expect(Set(batch.map(\.event.msisdn)).count == batch.count, "one event of a number")
            #expect(batch.map(\.context.offset) == batch.map(\.context.offset).sorted())
            for one in batch {
                let number = try #require(one.event.msisdn)
                let index = try #require(one.event.reference.flatMap { Int($0) })
                #expect(index == (last[number] ?? -1) + 1)
                last[number] = index
            }
        }
    }

    @Test func aFailedBatchIsTriedOneByOne() async throws {
        let bridge = try await TestBridge(partitions: 1)
        let handled = Batches()
        let bad = "27821000003"
        let consumer = EventConsumer(configuration: bridge.configuration(group: "batches"))
            .onDeliveryStatuses(maxCount: 8, maxDelay: .seconds(60)) { batch in
                if batch.contains(where: { $0.event.msisdn == bad }) { throw Refused() }
                handled.add(batch)
            }
        try await bridge.publish(statuses(numbers: 8, each: 1))
        try await bridge.run(consumer)
        #expect(handled.all.map(\.count) == Array(repeating: 1, count: 7))
        #expect(handled.events.allSatisfy { $0.context.attempt == 2 })
        let letters = try await bridge.deadLetters(of: "batches")
        #expect(letters.map(\.key) == [bad] && letters.first?.errorKind == "Refused")
    }

    /// Nothing of a batch is committed before its handler has returned.
    @Test func aBatchThatIsCancelledIsHandledAgain() async throws {
        let bridge = try await TestBridge(partitions: 1)
        var configuration = bridge.configuration(group: "batches")
        configuration.shutdownTimeout = .milliseconds(100)
        let begun = Batches()
        let stuck = EventConsumer(configuration: configuration)
            .onDeliveryStatuses(maxCount: 5, maxDelay: .seconds(60)) { batch in
                begun.add(batch)
                try await Task.sleep(for: .seconds(3_600))
            }
        try await bridge.publish(statuses(numbers: 7, each: 1))
        let run = Task { try await stuck.run() }
        try await bridge.until("a batch") { begun.all.count == 1 }
        #expect(begun.all[0].count == 5, "the other two wait for more")
        stuck.shutdown()
        try await run.value
        let handled = Batches()
        let next = EventConsumer(configuration: bridge.configuration(group: "batches"))
            .onDeliveryStatuses(maxCount: 5) { handled.add($0) }
        try await bridge.run(next)
        #expect(handled.events.count == 7)
        #expect(try await bridge.deadLetters(of: "batches").isEmpty)
    }

    @Test func aSecondConsumerGoesOnBehindWhatWasHandled() async throws {
        let bridge = try await TestBridge(partitions: 2)
        let handled = Batches()
        for round in 1...2 {
            let consumer = EventConsumer(configuration: bridge.configuration(group: "batches"))
                .onDeliveryStatuses { handled.add($0) }
            try await bridge.publish(statuses(numbers: 20, each: 2))
            try await bridge.run(consumer)
            #expect(handled.events.count == 40 * round)
        }
    }

    @Test func wrongBoundsAreProblems() async throws {
        let bridge = try await TestBridge()
        let consumer = EventConsumer(configuration: bridge.configuration(group: "batches"))
            .onReplies(maxCount: 0) { _ in }
            .onURLClicks(maxDelay: .seconds(61)) { _ in }
        await #expect {
            try await consumer.run()
        } throws: { error in
            "\(error)".contains("maxCount: 0") && "\(error)".contains("maxDelay: 61")
        }
    }
}
