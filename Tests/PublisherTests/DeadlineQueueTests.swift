import Testing

@testable import SMSBridgePublisher

@Suite struct DeadlineQueueTests {
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
