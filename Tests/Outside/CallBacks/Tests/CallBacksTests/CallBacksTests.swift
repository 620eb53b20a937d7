import SMSPortalTesting
import Synchronization
import Testing

@testable import CallBacks

@Test func aYesIsCalledBack() async throws {
    let bridge = try await TestBridge()
    let called = Mutex<[String]>([])
    try await bridge.publish(.reply(.sample(text: "Yes please", msisdn: "27821234567")), .reply(.sample(text: "No")))
    try await bridge.run(
        makeConsumer(bridge.configuration(group: "call-backs")) { msisdn in called.withLock { $0.append(msisdn) } })
    #expect(called.withLock { $0 } == ["27821234567"])
}
