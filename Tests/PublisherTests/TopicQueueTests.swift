import SMSBridgeSpool
import SMSBridgeTestSupport
import Testing

@testable import SMSBridgePublisher

@Suite struct TopicQueueTests {
    private func record(bytes: Int) -> SpoolRecord {
        [UInt8](repeating: 0, count: bytes).withUnsafeBytes {
            SpoolRecord(
                lane: 0, timestamp: 1, key: nil, value: $0, headers: UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }

    /// What a drain does until it has to wait.
    private func steps(_ queue: inout TopicQueue) -> [String] {
        var steps: [String] = []
        while true {
            switch queue.nextStep(now: 0) {
            case .wait: return steps
            case .read(let number): steps.append("read after \(number)")
            case .sendRow(let row, _): steps.append("row \(row.number)")
            case .sendWaiting(let waiting): steps.append("waiting \(waiting.number)")
            case .becameDirect: return steps + ["direct"]
            case .backlogEnded: steps.append("backlog ended")
            }
        }
    }

    @Test func rowsThatLeaveTheMemoryDuringAReadAreReadToo() {
        var queue = TopicQueue()
        queue.interrupt(.late, now: 0)
        queue.rows = 1
        queue.beginDrain()
        #expect(steps(&queue) == ["read after 0"])
        let large = record(bytes: 1 << 20)
        for number in 1...3 as ClosedRange<Int64> {
            queue.append(TopicQueue.Waiting(number: number, record: large, opaque: 0, isRow: true, isDurable: true))
        }
        queue.received([])
        #expect(steps(&queue) == ["read after 0"], "the read was made before they were in the file")
        queue.received([SpoolRow(number: 1, record: large), SpoolRow(number: 2, record: large)])
        #expect(steps(&queue) == ["row 1", "row 2", "read after 2"])
        queue.received([])
        #expect(steps(&queue) == ["waiting 3", "direct"])
    }

    /// A lane beside a file whose writer and whose answers come late: whatever is handed over is so in order, and all of it.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func rowsAreHandedOverInOrderHoweverLateTheFileIs(seed: UInt64) {
        enum Order { case insert(Int64), delete(Int64), read(after: Int64) }
        var random = SeededRandom(seed: seed)
        var queue = TopicQueue()
        var orders: [Order] = []
        var answers: [[SpoolRow]] = []
        var file: Set<Int64> = []
        var handed: [Int64] = []
        var next: Int64 = 1
        let large = record(bytes: 700_000)

        /// What is handed over has its report at once.
        func hand(_ number: Int64) {
            handed.append(number)
            queue.succeeded()
            queue.rows -= 1
            orders.append(.delete(number))
        }
        func drain() {
            if queue.mayDrain(now: 0) { queue.beginDrain() }
            while true {
                switch queue.nextStep(now: 0) {
                case .wait, .becameDirect, .backlogEnded: return
                case .read(let number): orders.append(.read(after: number))
                case .sendRow(let row, _): hand(row.number)
                case .sendWaiting(let waiting): hand(waiting.number)
                }
            }
        }
        func event() {
            defer { next += 1 }
            guard !queue.isDirect else { return handed.append(next) }
            orders.append(.insert(next))
            queue.rows += 1
            queue.append(TopicQueue.Waiting(number: next, record: large, opaque: 0, isRow: true, isDurable: true))
        }
        func write() {
            guard !orders.isEmpty else { return }
            switch orders.removeFirst() {
            case .insert(let number): file.insert(number)
            case .delete(let number): file.remove(number)
            case .read(let number):
                let rows = file.filter { $0 > number }.sorted().prefix(1 + Int(random.next() % 8))
                answers.append(rows.map { SpoolRow(number: $0, record: large) })
            }
        }
        func answer() {
            guard !answers.isEmpty else { return }
            queue.received(answers.removeFirst())
            drain()
        }

        for _ in 0..<3_000 {
            switch random.next() % 20 {
            case 0..<7: event()
            case 7..<13: write()
            case 13..<17: answer()
            case 17, 18: drain()
            default: queue.interrupt(.late, now: 0)
            }
        }
        for _ in 0..<10_000 where !queue.isDirect || !orders.isEmpty || !answers.isEmpty {
            write()
            answer()
            drain()
        }
        #expect(handed == handed.sorted(), "seed \(seed): out of order")
        #expect(handed.count == Int(next) - 1 && file.isEmpty, "seed \(seed): \(file.count) rows are left behind")
    }
}
