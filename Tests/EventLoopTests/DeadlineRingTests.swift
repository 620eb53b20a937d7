import SMSBridgeEventLoop
import SMSBridgeTestSupport
import Testing

@Suite("Deadline ring")
struct DeadlineRingTests {
    private func expired(_ ring: inout DeadlineRing, upTo now: UInt64) -> [UInt64] {
        var tokens: [UInt64] = []
        ring.expire(upTo: now) { token, _ in tokens.append(token) }
        return tokens.sorted()
    }

    @Test(
        "deadlines around a granule's edge are told when due and not before",
        arguments: [0, 9, 10, 11, 19, 20, 79, 80, 81, 800, 1_000_003] as [UInt64])
    func edges(at deadline: UInt64) {
        for start in [UInt64(0), 5, deadline] {
            var ring = DeadlineRing(granularity: 10, slots: 8)
            ring.insert(token: 99, at: start)
            #expect(expired(&ring, upTo: start) == [99])
            ring.insert(token: 7, at: deadline)
            if deadline > 0 { #expect(expired(&ring, upTo: deadline - 1) == []) }
            #expect(ring.count == 1)
            #expect(expired(&ring, upTo: deadline) == [7])
            #expect(ring.count == 0)
            #expect(ring.next == nil)
        }
    }

    @Test("a deadline that has passed is told at the next call, also behind where the wheel stands")
    func late() {
        var ring = DeadlineRing(granularity: 10, slots: 8)
        ring.insert(token: 1, at: 1000)
        #expect(expired(&ring, upTo: 500) == [])
        ring.insert(token: 2, at: 3)
        #expect(expired(&ring, upTo: 500) == [2])
        #expect(expired(&ring, upTo: 1000) == [1])
    }

    @Test("rounds: what shares a slot is told each in its own round")
    func rounds() {
        var ring = DeadlineRing(granularity: 1, slots: 4)
        for round in 0..<10 { ring.insert(token: UInt64(round), at: UInt64(round) * 4) }
        for round in 0..<10 { #expect(expired(&ring, upTo: UInt64(round) * 4) == [UInt64(round)]) }
    }

    @Test("a clock that leaps tells everything at once")
    func leap() {
        var ring = DeadlineRing(granularity: 10, slots: 4)
        for token in 0..<100 as Range<UInt64> { ring.insert(token: token, at: token * 7) }
        #expect(expired(&ring, upTo: .max) == Array(0..<100))
    }

    @Test("the largest deadline does not overflow")
    func largest() {
        var ring = DeadlineRing(granularity: 1, slots: 4)
        ring.insert(token: 1, at: .max)
        #expect(expired(&ring, upTo: .max - 1) == [])
        #expect(ring.next == .max)
        #expect(expired(&ring, upTo: .max) == [1])
    }

    @Test("random runs agree with a list", arguments: 0..<20)
    func random(run: Int) {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        let granularity = UInt64.random(in: 1...20, using: &random)
        var ring = DeadlineRing(granularity: granularity, slots: Int.random(in: 1...40, using: &random))
        var model: [(token: UInt64, deadline: UInt64)] = []
        var now = UInt64.random(in: 0...1000, using: &random)
        var token: UInt64 = 0
        for step in 0..<2000 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<6:
                let horizon = ([3, 50, 500, 5000] as [UInt64]).randomElement(using: &random) ?? 1
                let back = UInt64.random(in: 0...min(now, 10), using: &random)
                let deadline = now - back + UInt64.random(in: 0...horizon, using: &random)
                ring.insert(token: token, at: deadline)
                model.append((token, deadline))
                token += 1
            default:
                now += UInt64.random(in: 0...(Bool.random(using: &random) ? 10 : 300), using: &random)
                var told: [UInt64] = []
                ring.expire(upTo: now) { token, deadline in
                    told.append(token)
                    #expect(model.contains { $0.0 == token && $0.1 == deadline })
                }
                let due = model.filter { $0.deadline <= now }.map { $0.token }.sorted()
                #expect(told.sorted() == due, "seed \(seed), step \(step)")
                model.removeAll { $0.deadline <= now }
            }
            #expect(ring.count == model.count, "seed \(seed), step \(step)")
            let earliest: UInt64? = model.map { $0.deadline }.min()
            if let next = ring.next, let earliest {
                #expect(next <= earliest, "seed \(seed), step \(step)")
            } else {
                #expect(ring.next == nil && earliest == nil, "seed \(seed), step \(step)")
            }
        }
    }
}
