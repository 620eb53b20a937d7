import Spool
import Testing

@testable import Publisher

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
}
