import SMSBridgeSpool
import Testing

@testable import SMSBridgePublisher

@Suite struct LaneTests {
    private func record(bytes: Int) -> SpoolRecord {
        [UInt8](repeating: 0, count: bytes).withUnsafeBytes {
            SpoolRecord(
                lane: 0, timestamp: 1, key: nil, value: $0, headers: UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }

    /// What a drain does until it has to wait.
    private func steps(_ lane: inout Lane) -> [String] {
        var steps: [String] = []
        while true {
            switch lane.nextStep() {
            case .wait: return steps
            case .read(let number): steps.append("read after \(number)")
            case .sendRow(let row): steps.append("row \(row.number)")
            case .sendWaiting(let waiting): steps.append("waiting \(waiting.number)")
            case .reopened: return steps + ["reopened"]
            }
        }
    }

    @Test func rowsThatLeaveTheMemoryDuringAReadAreReadToo() {
        var lane = Lane()
        lane.close(now: 0, afterFailure: false)
        lane.beginDrain()
        #expect(steps(&lane) == ["read after 0"])
        let large = record(bytes: 1 << 20)
        for number in 1...3 as ClosedRange<Int64> {
            lane.append(Lane.Waiting(number: number, record: large, opaque: 0))
        }
        lane.received([])
        #expect(steps(&lane) == ["read after 0"], "the read was made before they were in the file")
        lane.received([SpoolRow(number: 1, record: large), SpoolRow(number: 2, record: large)])
        #expect(steps(&lane) == ["row 1", "row 2", "read after 2"])
        lane.received([])
        #expect(steps(&lane) == ["waiting 3", "reopened"])
    }

    /// A lane beside a file whose writer and whose answers come late: whatever is handed over is so in order, and all of it.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func rowsAreHandedOverInOrderHoweverLateTheFileIs(seed: UInt64) {
        enum Order { case insert(Int64), delete(Int64), read(after: Int64) }
        var random = SplitMix(state: seed)
        var lane = Lane()
        var orders: [Order] = []
        var answers: [[SpoolRow]] = []
        var file: Set<Int64> = []
        var handed: [Int64] = []
        var next: Int64 = 1
        let large = record(bytes: 700_000)

        /// What is handed over has its report at once.
        func hand(_ number: Int64) {
            handed.append(number)
            lane.succeeded()
            orders.append(.delete(number))
        }
        func drain() {
            if lane.mayDrain(now: 0) { lane.beginDrain() }
            while true {
                switch lane.nextStep() {
                case .wait, .reopened: return
                case .read(let number): orders.append(.read(after: number))
                case .sendRow(let row): hand(row.number)
                case .sendWaiting(let waiting): hand(waiting.number)
                }
            }
        }
        func event() {
            defer { next += 1 }
            guard !lane.isOpen else { return handed.append(next) }
            orders.append(.insert(next))
            lane.append(Lane.Waiting(number: next, record: large, opaque: 0))
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
            lane.received(answers.removeFirst())
            drain()
        }

        for _ in 0..<3_000 {
            switch random.next() % 20 {
            case 0..<7: event()
            case 7..<13: write()
            case 13..<17: answer()
            case 17, 18: drain()
            default: lane.close(now: 0, afterFailure: false)
            }
        }
        for _ in 0..<10_000 where !lane.isOpen || !orders.isEmpty || !answers.isEmpty {
            write()
            answer()
            drain()
        }
        #expect(handed == handed.sorted(), "seed \(seed): out of order")
        #expect(handed.count == Int(next) - 1 && file.isEmpty, "seed \(seed): \(file.count) rows are left behind")
    }
}
