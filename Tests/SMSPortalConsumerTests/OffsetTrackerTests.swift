import SMSBridgeTestSupport
import Testing

@testable import SMSPortalConsumer

struct OffsetTrackerTests {
    @Test func knowsNothingBeforeTheFirstRecord() {
        let tracker = OffsetTracker()
        #expect(tracker.watermark == nil && tracker.span == 0)
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
        #expect(tracker.watermark == 10 && tracker.done == [11..<20])
        tracker.finished(10)
        #expect(tracker.watermark == 20 && tracker.done.isEmpty && tracker.span == 1)
        tracker.finished(20)
        #expect(tracker.watermark == 21 && tracker.span == 0)
    }

    @Test func aMillionBehindASlowOneIsOneInterval() {
        var tracker = OffsetTracker()
        _ = tracker.received(0)
        for offset: Int64 in 1..<1_000_000 {
            _ = tracker.received(offset)
            tracker.finished(offset)
        }
        #expect(tracker.watermark == 0 && tracker.span == 1_000_000 && tracker.done == [1..<1_000_000])
    }

    @Test(arguments: 0..<8) func agreesWithASet(_ run: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        var tracker = OffsetTracker()
        var unfinished: Set<Int64> = []
        var next: Int64 = 0
        for _ in 0..<500 {
            if Bool.random(using: &random) {
                if Int.random(in: 0..<5, using: &random) == 0 { next += 3 }
                _ = tracker.received(next)
                unfinished.insert(next)
                next += 1
            } else if let one = unfinished.sorted().randomElement(using: &random) {
                unfinished.remove(one)
                tracker.finished(one)
            }
            guard tracker.watermark != nil else { continue }
            #expect(tracker.watermark == unfinished.min() ?? next, "seed \(seed)")
            #expect(tracker.done.count <= unfinished.count, "seed \(seed)")
        }
    }

    @Test(arguments: 0..<5) func timersComeInTheirOrder(_ run: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        var heap = LaneHeap()
        let deadlines = (0..<500).map { _ in UInt64.random(in: 0..<1_000, using: &random) }
        for (index, deadline) in deadlines.enumerated() {
            heap.insert(LaneReference(index: index, generation: 0), at: deadline)
        }
        var came: [UInt64] = []
        for now: UInt64 in 0..<1_000 {
            while let lane = heap.pop(until: now) {
                #expect(deadlines[lane.index] == now, "seed \(seed)")
                came.append(deadlines[lane.index])
            }
        }
        #expect(came == deadlines.sorted() && heap.soonest == nil, "seed \(seed)")
    }

    /// Whether a lane joins at the end or comes back to its place: the first in line is next.
    @Test(arguments: 0..<5) func theLineIsInOrder(_ run: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        var line = LaneLine()
        var standing: Set<UInt64> = []
        var gone: [UInt64] = []
        var next: UInt64 = 0
        for _ in 0..<2_000 {
            switch Int.random(in: 0..<5, using: &random) {
            case 0, 1:
                next += UInt64.random(in: 1...3, using: &random)
                standing.insert(next)
                line.insert(LaneReference(index: Int(next), generation: 0), at: next)
            case 2 where !gone.isEmpty:
                let place = gone.remove(at: Int.random(in: gone.indices, using: &random))
                standing.insert(place)
                line.insert(LaneReference(index: Int(place), generation: 0), at: place)
            default:
                let first = standing.min()
                #expect(line.popFirst()?.index == first.map { Int($0) }, "seed \(seed)")
                if let first {
                    standing.remove(first)
                    gone.append(first)
                }
            }
            #expect(line.count == standing.count && line.isEmpty == standing.isEmpty, "seed \(seed)")
        }
    }

    @Test(arguments: 0..<5) func theQueueAgreesWithAnArray(_ run: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        var queue = Queue<Int>()
        var array: [Int] = []
        for step in 0..<1_000 {
            if Int.random(in: 0..<100, using: &random) < (step < 500 ? 60 : 40) {
                queue.append(step)
                array.append(step)
            } else {
                let expected = array.isEmpty ? nil : array.removeFirst()
                let taken = queue.popFirst()
                #expect(taken == expected, "seed \(seed)")
            }
            #expect(queue.count == array.count && queue.first == array.first, "seed \(seed)")
        }
    }
}
