import SMSBridgeTestSupport
import Testing

@testable import SMSPortalConsumer

@Suite struct QueueTests {
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
