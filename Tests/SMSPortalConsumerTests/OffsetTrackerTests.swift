import SMSBridgeTestSupport
import Testing

@testable import SMSPortalConsumer

struct OffsetTrackerTests {
    @Test func knowsNothingBeforeTheFirstRecord() {
        let tracker = OffsetTracker()
        let (watermark, span) = (tracker.watermark, tracker.span)
        #expect(watermark == nil && span == 0)
    }

    @Test func aGapCountsAsDone() {
        var tracker = OffsetTracker()
        for offset: Int64 in [10, 13, 20] {
            let isNew = tracker.received(offset)
            #expect(isNew)
        }
        let isNew = tracker.received(13)
        #expect(!isNew)
        tracker.finished(13)
        var state = (tracker.watermark, tracker.span)
        #expect(state == (10, 11))
        tracker.finished(10)
        state = (tracker.watermark, tracker.span)
        #expect(state == (20, 1))
        tracker.finished(20)
        state = (tracker.watermark, tracker.span)
        #expect(state == (21, 0))
        tracker.passed(50)
        state = (tracker.watermark, tracker.span)
        #expect(state == (50, 0), "nothing is unfinished")
        tracker.passed(40)
        let again = tracker.received(49)
        #expect(!again)
    }

    /// Offsets may be compacted away by the billion.
    @Test func aHugeGapCostsLittle() {
        var tracker = OffsetTracker()
        _ = tracker.received(0)
        _ = tracker.received(3_000_000_000)
        tracker.finished(3_000_000_000)
        var watermark = tracker.watermark
        #expect(watermark == 0)
        tracker.finished(0)
        watermark = tracker.watermark
        #expect(watermark == 3_000_000_001)
    }

    @Test func aMillionBehindASlowOne() {
        var tracker = OffsetTracker()
        _ = tracker.received(0)
        for offset: Int64 in 1..<1_000_000 {
            _ = tracker.received(offset)
            tracker.finished(offset)
        }
        var state = (tracker.watermark, tracker.span)
        #expect(state == (0, 1_000_000))
        tracker.finished(0)
        state = (tracker.watermark, tracker.span)
        #expect(state == (1_000_000, 0))
    }

    @Test(arguments: 0..<8) func agreesWithASet(_ run: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        var tracker = OffsetTracker()
        var unfinished: Set<Int64> = []
        var released: Set<Int64> = []
        var next = Int64.random(in: 0...100_000, using: &random)
        let first = next
        // Runs with small steps stay in a chunk, others cross many.
        let stride = run % 2 == 0 ? 3 : 3_000
        for _ in 0..<1_000 {
            switch Int.random(in: 0..<8, using: &random) {
            case 0...3:
                if Int.random(in: 0..<5, using: &random) == 0 {
                    next += Int64.random(in: 1...Int64(stride), using: &random)
                }
                let isNew = tracker.received(next)
                #expect(isNew, "seed \(seed)")
                unfinished.insert(next)
                next += 1
            case 4...6:
                guard let one = unfinished.sorted().prefix(40).randomElement(using: &random) else { continue }
                if released.contains(one) {
                    tracker.reclaim(one)
                    released.remove(one)
                } else {
                    unfinished.remove(one)
                    tracker.finished(one)
                }
            default:
                guard let one = unfinished.subtracting(released).sorted().randomElement(using: &random) else {
                    continue
                }
                tracker.release(one)
                released.insert(one)
            }
            let state = (tracker.watermark ?? first, tracker.releasedCount, tracker.firstReleased(from: 0) ?? -1)
            let expected = (unfinished.min() ?? next, released.count, released.min() ?? -1)
            #expect(state == expected, "seed \(seed)")
            let probe = Int64.random(in: first...next, using: &random)
            let isDone = tracker.isDone(probe)
            #expect(isDone == (!unfinished.contains(probe) && probe < next), "seed \(seed), \(probe)")
            let isReleased = tracker.isReleased(probe)
            #expect(isReleased == released.contains(probe), "seed \(seed)")
            let from = tracker.firstReleased(from: probe)
            #expect(from == released.filter { $0 >= probe }.min(), "seed \(seed)")
        }
        for one in released { tracker.reclaim(one) }
        for one in unfinished.shuffled(using: &random) { tracker.finished(one) }
        let end = (tracker.watermark ?? next, tracker.span)
        #expect(end == (next, 0), "seed \(seed)")
    }
}
