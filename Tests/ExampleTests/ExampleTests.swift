import SMSPortalConsumer
import SMSPortalEvents
import SMSPortalTesting
import Synchronization
import Testing

@testable import SMSBridgeCampaignStatistics
@testable import SMSBridgeCustomerRecords
@testable import SMSBridgeFollowUps
@testable import SMSBridgeOptOuts
@testable import SMSBridgePositiveReplies

/// Every example reacts as it says, to repeats and to events out of order as well.
struct ExampleTests {
    private static let morning: Int64 = 1_772_352_000_000

    /// So many minutes into a morning.
    private func time(_ minutes: Int64) -> EventTime {
        EventTime(millisecondsSinceEpoch: Self.morning + minutes * 60_000)
    }

    @Test func aDeliveryStatusUpdatesTheCustomersRecord() async throws {
        let bridge = try await TestBridge()
        let records = try CustomerRecords(":memory:")
        func status(_ state: DeliveryState, _ minutes: Int64, _ number: String = "27821234567") -> Event {
            .deliveryStatus(.sample(state: state, msisdn: number, occurredAt: time(minutes)))
        }
        let delivered = status(.delivered, 5)
        try await bridge.publish(status(.pending, 1), delivered, delivered, status(.pending, 2))
        // A final status and one that is not, at the same time, in both orders.
        try await bridge.publish(status(.pending, 1, "27821234568"), status(.failed, 1, "27821234568"))
        try await bridge.publish(status(.failed, 1, "27821234569"), status(.pending, 1, "27821234569"))
        try await bridge.publish(.deliveryStatus(.sample(msisdn: nil)))
        try await bridge.run(records.consumer(bridge.configuration(group: "records")))
        #expect(try await records.state(of: "27821234567") == .delivered)
        #expect(try await records.state(of: "27821234568") == .failed)
        #expect(try await records.state(of: "27821234569") == .failed)
        #expect(try await records.state(of: "27821234560") == nil)
        #expect(try await bridge.deadLetters(of: "records").isEmpty)
    }

    /// Notes whom it is to call, and may be closed for a while.
    private final class RecordedDesk: CallBackDesk {
        struct IsClosed: Error {}

        private let state: Mutex<(calls: [String: String], closedFor: Int)>

        init(closedFor: Int = 0) { state = Mutex(([:], closedFor)) }

        /// Number to reference.
        var calls: [String: String] { state.withLock { $0.calls } }

        func callBack(_ msisdn: String, about text: String, reference: String) async throws {
            try state.withLock { state in
                state.closedFor -= 1
                if state.closedFor >= 0 { throw IsClosed() }
                state.calls[msisdn] = reference
            }
        }
    }

    @Test func aPositiveReplyIsCalledBack() async throws {
        let bridge = try await TestBridge()
        // A desk that is closed for two attempts is asked again.
        let desk = RecordedDesk(closedFor: 2)
        let yes = Reply.sample(text: "Yes please!", msisdn: "27821234567")
        try await bridge.publish(
            .reply(yes), .reply(.sample(text: "no thanks", msisdn: "27821234568")),
            .reply(.sample(text: "Stop", msisdn: "27821234569")))
        try await bridge.run(PositiveReplies(desk: desk).consumer(bridge.configuration(group: "desk")))
        #expect(desk.calls == ["27821234567": yes.id])
    }

    @Test(arguments: [
        ("Yes", true), ("ja, graag", true), ("YEBO!!", true), ("Please call me", true), ("yesterday", false),
        ("", false),
        ("No, not ok", false),
    ])
    func whatCountsAsPositiveIsTheList(_ text: String, _ isPositive: Bool) {
        #expect(PositiveReplies.isPositive(text) == isPositive)
    }

    @Test func anOptOutTakesTheNumberOffTheList() async throws {
        let bridge = try await TestBridge()
        let optOuts = try OptOuts(":memory:")
        for number in ["27821234567", "27821234568", "27821234569"] { try await optOuts.subscribe(number, at: time(0)) }
        // Subscribed again, after an opt-out that comes late.
        try await optOuts.subscribe("27821234569", at: time(30))
        let stop = Event.reply(.sample(text: "STOP", msisdn: "27821234567", occurredAt: time(10)))
        try await bridge.publish(
            stop, stop, .reply(.sample(text: "I never stop", msisdn: "27821234568", occurredAt: time(10))),
            .shortCode(.sample(text: "quit", msisdn: "27821234569", occurredAt: time(20))))
        try await bridge.run(optOuts.consumer(bridge.configuration(group: "opt-outs")))
        #expect(try await optOuts.subscribers() == ["27821234568", "27821234569"])
        // An import with older data does not bring anybody back.
        try await optOuts.subscribe("27821234567", at: time(5))
        #expect(try await optOuts.subscribers() == ["27821234568", "27821234569"])
    }

    @Test func aClickIsFollowedUpAndAPreviewReminded() async throws {
        let bridge = try await TestBridge()
        let followUps = try FollowUps(":memory:")
        func click(_ number: String, _ minutes: Int64) -> Event {
            .urlClick(.sample(msisdn: number, reference: "spring", occurredAt: time(minutes)))
        }
        func preview(_ number: String, _ minutes: Int64) -> Event {
            .urlPreview(.sample(msisdn: number, reference: "spring", occurredAt: time(minutes)))
        }
        try await bridge.publish(
            preview("27821234567", 0), click("27821234567", 10), click("27821234567", 20), preview("27821234567", 30),
            preview("27821234568", 0))
        try await bridge.run(followUps.consumer(bridge.configuration(group: "follow-ups")))
        let day: Int64 = 24 * 60
        let offer = FollowUps.FollowUp(msisdn: "27821234567", reference: "spring", kind: .offer)
        let reminder = FollowUps.FollowUp(msisdn: "27821234568", reference: "spring", kind: .reminder)
        #expect(try await followUps.due(at: time(day)).isEmpty)
        #expect(try await followUps.due(at: time(day + 30)) == [offer])
        #expect(try await followUps.due(at: time(3 * day)) == [offer, reminder])
    }

    @Test func campaignsAreCountedByMessagesAndPeople() async throws {
        let bridge = try await TestBridge()
        let statistics = try CampaignStatistics(":memory:")
        var events: [Event] = []
        for message in 0..<10 {
            let number = "2782123450\(message)"
            let id = "70\(message)"
            func status(_ state: DeliveryState, _ minutes: Int64) -> Event {
                .deliveryStatus(
                    .sample(
                        state: state, msisdn: number, messageID: id, reference: "spring", occurredAt: time(minutes)))
            }
            // The pending one comes last: a status that is not final never takes the place of one that is.
            events += [status(message < 8 ? .delivered : .failed, 5), status(.pending, 9)]
        }
        let reply = Event.reply(.sample(text: "Yes", msisdn: "27821234500", reference: "spring"))
        events += [reply, reply, .reply(.sample(text: "Stop", msisdn: "27821234501", reference: "spring"))]
        for _ in 0..<3 {
            for number in ["27821234500", "27821234502"] {
                events.append(.urlClick(.sample(msisdn: number, reference: "spring")))
            }
        }
        events.append(.deliveryStatus(.sample(state: .pending, reference: "summer")))
        try await bridge.publish(events)
        try await bridge.run(statistics.consumer(bridge.configuration(group: "statistics")))
        let report = try await statistics.report(on: "spring")
        #expect(report == .init(messages: 10, delivered: 8, failed: 2, replied: 1, clicked: 2))
        #expect(report.deliveryRate == 0.8 && report.replyRate == 0.125 && report.clickRate == 0.25)
        #expect(report.roi(.init(costPerMessage: 0.2, valuePerReply: 2, valuePerClick: 1)) == 1)
        #expect(report.roi(.init(costPerMessage: 0, valuePerReply: 2, valuePerClick: 1)) == nil)
        #expect(try await statistics.campaigns() == ["spring", "summer"])
        #expect(try await statistics.report(on: "summer").deliveryRate == 0)
    }
}
