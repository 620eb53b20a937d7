import Testing

@testable import SMSPortalSimulator

@Suite struct LatencyHistogramTests {
    @Test func anEmptyOneSaysZero() {
        let histogram = LatencyHistogram()
        #expect(histogram.value(atShare: 0.5) == 0 && histogram.max == 0 && histogram.count == 0)
    }

    @Test func quantilesAreWithinTheirBoundOfTheTruth() {
        for seed in UInt64(1)...5 {
            var random = SeededRandom(seed: seed)
            var histogram = LatencyHistogram()
            var values: [UInt64] = []
            for _ in 0..<5000 {
                let value = UInt64.random(in: 0...(1 << UInt64.random(in: 1...34, using: &random)), using: &random)
                values.append(value)
                histogram.record(value)
            }
            values.sort()
            for share in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let exact = values[max(0, Int((Double(values.count) * share).rounded(.up)) - 1)]
                let told = histogram.value(atShare: share)
                #expect(
                    told >= exact && Double(told) <= Double(exact) * (1 + 1.0 / 64) + 1, "seed \(seed), share \(share)")
            }
            #expect(histogram.max == values.last)
            #expect(histogram.count == 5000)
        }
    }

    @Test func smallValuesAreExactAndHugeOnesAreKept() {
        var histogram = LatencyHistogram()
        for value in [UInt64(0), 1, 127, 128, .max] { histogram.record(value) }
        #expect(histogram.value(atShare: 0.2) == 0)
        #expect(histogram.value(atShare: 0.4) == 1)
        #expect(histogram.value(atShare: 0.6) == 127)
        #expect(histogram.value(atShare: 1) > 1 << 35)
        #expect(histogram.max == .max)
    }
}
