import SMSBridgeTelemetry
import SMSPortalEvents

/// The event that the bridge publishes by itself, when it is asked to check: a delivery status of the vendor's sample
/// number, which belongs to the test topic.
enum TestEvent {
    static func record() throws -> EventRecord {
        try Event(
            callback: Callback(
                method: .post, route: .deliveryStatus, contentType: "application/json",
                body: #"{"Status":"DELIVRD","Msisdn":27000000001,"UserReference":"smsbridge check"}"#),
            receivedAt: EventTime(millisecondsSinceEpoch: wallClockMilliseconds())
        ).record()
    }
}
