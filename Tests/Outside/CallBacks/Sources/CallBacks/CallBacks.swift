import SMSPortalConsumer

protocol Desk: Sendable {
    func callBack(_ msisdn: String) async throws
}

func makeConsumer(_ configuration: EventConsumer.Configuration, desk: some Desk) -> EventConsumer {
    EventConsumer(configuration: configuration)
        .onReply { reply, context in
            guard reply.text.lowercased().hasPrefix("yes"), let msisdn = reply.msisdn else { return }
            try await desk.callBack(msisdn)
        }
}
