internal import SMSPortalConsumer
internal import SMSPortalEvents

/// Gets a person to call back, or a message sent: whatever the desk has.
protocol CallBackDesk: Sendable {
    /// - Parameter reference: The same for every repeat of the same reply: a desk that has seen it does nothing.
    func callBack(_ msisdn: String, about text: String, reference: String) async throws
}

/// Calls back who has answered yes.
struct PositiveReplies: Sendable {
    /// What counts as positive: a reply that begins with one of these, in any letter case.
    static let phrases = ["yes", "ja", "yebo", "ok", "okay", "sure", "please call", "call me", "interested"]

    let desk: any CallBackDesk

    static func isPositive(_ text: String) -> Bool {
        // Words without punctuation: "Yes!" is one, "yesterday" is not.
        let words = text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init)
        return phrases.contains { words.starts(with: $0.split(separator: " ").map(String.init)) }
    }

    func react(to reply: Reply) async throws {
        guard let msisdn = reply.msisdn, Self.isPositive(reply.text) else { return }
        try await desk.callBack(msisdn, about: reply.campaign ?? reply.sentText ?? "", reference: reply.id)
    }

    func consumer(_ configuration: EventConsumer.Configuration) -> EventConsumer {
        EventConsumer(configuration: configuration)
            .onReply { reply, _ in try await react(to: reply) }
            // With a handler for opt-outs, "Stop" never reaches the one above.
            .onOptOut { _, _ in }
    }
}
