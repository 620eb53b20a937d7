import Testing

@testable import smsbridge

struct DoneOffsetsTests {
    @Test func anyOrderComesToTheSame() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let chosen = (0..<Int64(60)).filter { _ in Bool.random(using: &generator) }
            var offsets = DoneOffsets()
            for offset in chosen.shuffled(using: &generator) {
                let fits = offsets.insert(offset, time: offset * 10)
                #expect(fits)
            }
            #expect((0..<60).filter(offsets.contains) == chosen)
            #expect(offsets.newest == (chosen.last ?? 0) * 10)
            #expect(DoneOffsets(text: offsets.text) == offsets)
            #expect(offsets.stretches.allSatisfy { $0.lowerBound > offsets.low })
            for (one, next) in zip(offsets.stretches, offsets.stretches.dropFirst()) {
                #expect(one.upperBound < next.lowerBound, "they lie apart")
            }
        }
    }

    @Test func whatWasDeletedIsDone() {
        var offsets = DoneOffsets()
        for offset in [3, 4, 9] as [Int64] { _ = offsets.insert(offset, time: 36) }
        offsets.begin(at: 4)
        #expect(offsets.low == 5 && offsets.stretches == [9..<10])
        offsets.begin(at: 9)
        #expect(offsets.low == 10 && offsets.stretches.isEmpty && offsets.text == "1 a 10")
    }

    @Test(arguments: [
        "", "1", "1 0", "2 0 0", "1 0 0 x", "1 0 0 0.1", "1 0 0 1.0", "1 0 0 -1.2", "1 0 0 1.2.3", "1 -1 0", "1 0 -1",
        "1 x! 0",
        // Beyond what an offset can be.
        "1 1y2p0ij32e8e8 0", "1 1 0 1y2p0ij32e8e7.1", "1 1 0 1.1y2p0ij32e8e7",
    ])
    func whatIsNotOursIsNotRead(_ text: String) {
        #expect(DoneOffsets(text: text) == nil)
    }

    @Test func asManyStretchesAsItTakesFitIntoARecord() {
        var offsets = DoneOffsets(low: 1_000_000_000_000)
        let gap: Int64 = 10_000_000
        for number in 1...Int64(DoneOffsets.mostStretches) {
            let fits = offsets.insert(offsets.low + number * gap, time: 1_900_000_000_000)
            #expect(fits)
        }
        #expect(offsets.stretches.count == DoneOffsets.mostStretches && offsets.text.utf8.count < 1_000_000)
        let before = offsets
        let fits = offsets.insert(offsets.low + gap / 2, time: 1)
        #expect(!fits && offsets == before, "one more does not, and nothing is changed")
        let joins = offsets.insert(offsets.low + gap + 1, time: 1)
        let closes = offsets.insert(offsets.low, time: 1)
        #expect(joins && closes, "what lies beside a stretch needs none")
    }
}
