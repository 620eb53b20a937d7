public import SMSPortalEvents

extension Unrecognised {
    /// A callback that could not be understood, for a test: it is in the quarantine.
    ///
    /// - Parameters:
    ///   - body: What came. Should it make sense as an event of a type, it is unrecognised nevertheless.
    ///   - account: The account.
    ///   - receivedAt: When the bridge received it; by default one second after the last sample, from 2026-01-01 on.
    public static func sample(
        body: String = "{\"status\":", account: String = "default", receivedAt: EventTime? = nil
    ) -> Unrecognised {
        SampleCallback.unrecognised(body: body, account: account, receivedAt: receivedAt)
    }
}

extension Unrecognised: Sampled {
    init?(sample event: Event) {
        guard case .unrecognised(let event) = event else { return nil }
        self = event
    }
}
