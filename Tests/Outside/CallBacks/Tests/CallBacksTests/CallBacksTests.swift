import SMSPortalTesting
import Testing

@testable import CallBacks

actor RecordedDesk: Desk {
    private(set) var called: [String] = []
    func callBack(_ msisdn: String) { called.append(msisdn) }
}

@Test func aYesIsCalledBack() async throws {
    let bridge = try await TestBridge()
    let desk = RecordedDesk()
    try await bridge.publish(
        .reply(.sample(text: "Yes please", msisdn: "27821234567")),
        .reply(.sample(text: "No thanks", msisdn: "27830123456")))
    try await bridge.run(makeConsumer(bridge.configuration(group: "call-backs"), desk: desk))
    #expect(await desk.called == ["27821234567"])
}
