import SMSPortalConsumer

/// Calls back everyone who answers yes.
func makeConsumer(
    _ configuration: EventConsumer.Configuration, callBack: @escaping @Sendable (String) async throws -> Void
) -> EventConsumer {
    EventConsumer(configuration: configuration).onReply { reply, _ in
        guard reply.text.lowercased().hasPrefix("yes"), let msisdn = reply.msisdn else { return }
        try await callBack(msisdn)
    }
}
