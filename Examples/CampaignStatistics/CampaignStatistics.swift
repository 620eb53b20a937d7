internal import SMSBridgeExampleSupport
internal import SMSPortalConsumer
internal import SMSPortalEvents

/// Counts, per campaign, what became of its messages.
///
/// A campaign is the reference that was given along when sending (`UserReference`, `customerId`): the one thing that
/// statuses, replies and clicks of every generation can carry. Messages and people are counted, not events, so that a
/// repeat changes nothing; of a message the latest status counts, in whatever order they come.
struct CampaignStatistics: Sendable {
    /// What a campaign costs and earns, in whatever currency.
    struct Prices: Sendable {
        var costPerMessage: Double
        var valuePerReply: Double
        var valuePerClick: Double
    }

    struct Report: Sendable, Hashable {
        var messages = 0
        var delivered = 0
        var failed = 0
        /// People who have replied; opt-outs are none.
        var replied = 0
        /// People who have opened the link.
        var clicked = 0

        /// Delivered messages of all, 0 to 1.
        var deliveryRate: Double { ratio(delivered, messages) }
        /// People who have replied, of delivered messages.
        var replyRate: Double { ratio(replied, delivered) }
        /// People who have opened the link, of delivered messages.
        var clickRate: Double { ratio(clicked, delivered) }

        /// Return on investment: 1 means that the campaign has earned twice what it cost; nil when it cost nothing.
        func roi(_ prices: Prices) -> Double? {
            let cost = Double(messages) * prices.costPerMessage
            guard cost > 0 else { return nil }
            return (Double(replied) * prices.valuePerReply + Double(clicked) * prices.valuePerClick - cost) / cost
        }

        private func ratio(_ part: Int, _ whole: Int) -> Double { whole == 0 ? 0 : Double(part) / Double(whole) }
    }

    private let database: Database

    init(_ path: String) throws {
        database = try Database(
            path,
            schema: """
                CREATE TABLE IF NOT EXISTS messages (
                    campaign TEXT NOT NULL, message TEXT NOT NULL, state TEXT NOT NULL, is_final INTEGER NOT NULL,
                    occurred_at INTEGER NOT NULL, PRIMARY KEY (campaign, message));
                CREATE TABLE IF NOT EXISTS people (
                    campaign TEXT NOT NULL, msisdn TEXT NOT NULL, did TEXT NOT NULL,
                    PRIMARY KEY (campaign, msisdn, did))
                """)
    }

    func count(_ status: DeliveryStatus) async throws {
        // A generation without message ids sends each number one message of a campaign.
        guard let campaign = status.reference, let message = status.messageID ?? status.msisdn else { return }
        try await database.run(
            """
            INSERT INTO messages (campaign, message, state, is_final, occurred_at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (campaign, message) DO UPDATE SET state = excluded.state, is_final = excluded.is_final,
                occurred_at = excluded.occurred_at
            WHERE excluded.is_final > messages.is_final
                OR (excluded.is_final = messages.is_final AND excluded.occurred_at > messages.occurred_at)
            """,
            .text(campaign), .text(message), .text(status.state.rawValue),
            .integer(status.state == .delivered || status.state == .failed ? 1 : 0),
            .integer((status.occurredAt ?? status.receivedAt).millisecondsSinceEpoch))
    }

    private func count(_ envelope: Envelope, did: String) async throws {
        guard let campaign = envelope.reference, let msisdn = envelope.msisdn else { return }
        try await database.run(
            "INSERT OR IGNORE INTO people (campaign, msisdn, did) VALUES (?, ?, ?)", .text(campaign), .text(msisdn),
            .text(did))
    }

    func report(on campaign: String) async throws -> Report {
        var report = Report()
        for row in try await database.rows(
            "SELECT state, count(*) FROM messages WHERE campaign = ? GROUP BY state", .text(campaign))
        {
            let count = Int(row[1].integer ?? 0)
            report.messages += count
            if row[0].text == DeliveryState.delivered.rawValue { report.delivered = count }
            if row[0].text == DeliveryState.failed.rawValue { report.failed = count }
        }
        for row in try await database.rows(
            "SELECT did, count(*) FROM people WHERE campaign = ? GROUP BY did", .text(campaign))
        {
            let count = Int(row[1].integer ?? 0)
            if row[0].text == "replied" { report.replied = count }
            if row[0].text == "clicked" { report.clicked = count }
        }
        return report
    }

    /// All campaigns that anything is known of.
    func campaigns() async throws -> [String] {
        try await database.rows("SELECT campaign FROM messages UNION SELECT campaign FROM people ORDER BY 1")
            .compactMap { $0.first?.text }
    }

    func consumer(_ configuration: EventConsumer.Configuration) -> EventConsumer {
        EventConsumer(configuration: configuration)
            .onDeliveryStatus { status, _ in try await count(status) }
            .onReply { reply, _ in try await count(reply.envelope, did: "replied") }
            .onOptOut { _, _ in }
            .onURLClick { click, _ in try await count(click.envelope, did: "clicked") }
    }
}
