import Testing

@testable import smsbridge

struct DoneOffsetsTests {
    @Test func anyOrderComesToTheSame() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let chosen = (0..<Int64(60)).filter { _ in Bool.random(using: &generator) }
            var offsets = DoneOffsets()
            for offset in chosen.shuffled(using: &generator) { offsets.insert(offset) }
            #expect((0..<60).filter(offsets.contains) == chosen)
            #expect(DoneOffsets(low: offsets.low, text: offsets.text) == offsets)
            #expect(offsets.stretches.allSatisfy { $0.lowerBound > offsets.low })
            for (one, next) in zip(offsets.stretches, offsets.stretches.dropFirst()) {
                #expect(one.upperBound < next.lowerBound, "they lie apart")
            }
        }
    }

    @Test func whatWasDeletedIsDone() {
        var offsets = DoneOffsets()
        for offset in [3, 4, 9] as [Int64] { offsets.insert(offset) }
        offsets.begin(at: 4)
        #expect(offsets.low == 5 && offsets.stretches == [9..<10])
        offsets.begin(at: 9)
        #expect(offsets.low == 10 && offsets.stretches.isEmpty && offsets.text == "1")
    }

    @Test(arguments: ["", "2", "1 x", "1 0.1", "1 1.0", "1 -1.2", "1 1.2.3", "1 1y2p0ij32e8e7.1", "1 1.1y2p0ij32e8e7"])
    func whatIsNotOursIsNotRead(_ text: String) {
        #expect(DoneOffsets(low: 0, text: text) == nil)
    }

    @Test func aThousandStretchesFit() {
        var offsets = DoneOffsets()
        for offset in stride(from: Int64(1), to: 2_000, by: 2) { offsets.insert(offset) }
        #expect(offsets.stretches.count == 1_000 && offsets.text.utf8.count <= DoneOffsets.longestText)
    }
}
