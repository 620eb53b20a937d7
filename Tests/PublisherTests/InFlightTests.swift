import Testing

@testable import Publisher

@Suite struct InFlightTests {
    private func event(_ token: UInt64, bytes: Int = 10) -> InFlight.Event {
        InFlight.Event(token: token, accepted: 1, bytes: bytes, topic: 2)
    }

    @Test func aReportFindsItsEventOnce() {
        var inFlight = InFlight()
        let opaque = inFlight.insert(event(7))
        #expect(inFlight.count == 1 && inFlight.bytes == 10)
        #expect(inFlight.topic(of: opaque) == 2)
        #expect(inFlight.remove(opaque)?.token == 7)
        #expect(inFlight.remove(opaque) == nil)
        #expect(inFlight.count == 0 && inFlight.bytes == 0)
    }

    @Test func aLateReportDoesNotFindTheSlotsNextEvent() {
        var inFlight = InFlight()
        let first = inFlight.insert(event(1))
        _ = inFlight.remove(first)
        let second = inFlight.insert(event(2))
        #expect(first & 0xffff_ffff == second & 0xffff_ffff, "the slot is used again")
        #expect(inFlight.remove(first) == nil)
        #expect(inFlight.abandon(first) == nil)
        #expect(!inFlight.isWaiting(first))
        #expect(inFlight.remove(second)?.token == 2)
    }

    @Test func anAbandonedEventKeepsItsRoomUntilItsReport() {
        var inFlight = InFlight()
        let opaque = inFlight.insert(event(7, bytes: 100))
        #expect(inFlight.abandon(opaque) == 7)
        #expect(inFlight.abandon(opaque) == nil, "a caller is answered once")
        #expect(inFlight.count == 1 && inFlight.bytes == 100)
        #expect(inFlight.remove(opaque).map { $0.token == nil } == true)
        #expect(inFlight.count == 0)
    }

    @Test func opaquesOfNobodyAreHarmless() {
        var inFlight = InFlight()
        for opaque: UInt64 in [0, 1, .max, 0xffff_ffff, 1 << 32] { #expect(inFlight.remove(opaque) == nil) }
    }

    /// Against a dictionary, in thousands of random steps.
    @Test(arguments: [1, 2, 3] as [UInt64]) func behavesLikeADictionary(seed: UInt64) {
        var random = SplitMix(state: seed)
        var inFlight = InFlight()
        var model: [UInt64: (token: UInt64?, bytes: Int)] = [:]
        for step in 0..<20_000 {
            switch random.next() % 5 {
            case 0, 1:
                let bytes = Int(random.next() % 1_000)
                let opaque = inFlight.insert(event(UInt64(step), bytes: bytes))
                #expect(model[opaque] == nil, "seed \(seed): an opaque is used twice")
                model[opaque] = (UInt64(step), bytes)
            case 2, 3:
                guard let opaque = model.keys.sorted().randomElement(using: &random) else { continue }
                #expect(inFlight.remove(opaque)?.token == model.removeValue(forKey: opaque)?.token, "seed \(seed)")
            default:
                guard let opaque = model.keys.sorted().randomElement(using: &random) else { continue }
                #expect(inFlight.abandon(opaque) == model[opaque]?.token, "seed \(seed)")
                model[opaque]?.token = nil
            }
            if model.count > 60 { for opaque in model.keys { _ = inFlight.remove(opaque) }; model = [:] }
            #expect(inFlight.count == model.count)
            #expect(inFlight.bytes == model.values.map(\.bytes).reduce(0, +))
        }
        #expect(Set(inFlight.removeAll()) == Set(model.values.compactMap(\.token)))
        #expect(inFlight.count == 0 && inFlight.bytes == 0)
    }

    @Test func deadlinesComeInOrderHoweverTheRingGrows() {
        var queue = DeadlineQueue()
        var next: UInt64 = 0
        var expected: UInt64 = 0
        for round in 1...200 {
            for _ in 0..<round % 7 * 13 {
                queue.append(next, deadline: next * 2)
                next += 1
            }
            for _ in 0..<min(queue.count, round % 5 * 17) {
                #expect(queue.first?.opaque == expected && queue.first?.deadline == expected * 2)
                queue.removeFirst()
                expected += 1
            }
            #expect(queue.count == Int(next - expected))
        }
        queue = DeadlineQueue()
        queue.removeFirst()
        #expect(queue.first == nil)
    }
}

/// A small generator whose seed is enough to repeat a run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
