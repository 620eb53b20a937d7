internal import SMSBridgeExampleSupport
internal import SMSPortalConsumer
internal import SMSPortalEvents

/// Takes the numbers of those who have opted out off the list of subscribers.
///
/// Who has subscribed again after the opt-out stays: an opt-out may come late, or again in a replay.
struct OptOuts: Sendable {
    private let database: Database

    init(_ path: String) throws {
        database = try Database(
            path,
            schema: """
                CREATE TABLE IF NOT EXISTS subscribers (msisdn TEXT PRIMARY KEY, subscribed_at INTEGER NOT NULL);
                CREATE TABLE IF NOT EXISTS opt_outs (msisdn TEXT PRIMARY KEY, opted_out_at INTEGER NOT NULL)
                """)
    }

    /// Puts a number on the list; not where a later opt-out is known.
    func subscribe(_ msisdn: String, at time: EventTime) async throws {
        try await database.run(
            """
            INSERT INTO subscribers (msisdn, subscribed_at)
            SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM opt_outs WHERE msisdn = ?1 AND opted_out_at >= ?2)
            ON CONFLICT (msisdn) DO UPDATE SET subscribed_at = max(subscribed_at, excluded.subscribed_at)
            """, .text(msisdn), .integer(time.millisecondsSinceEpoch))
    }

    func optOut(_ msisdn: String, at time: EventTime) async throws {
        // Remembered first: what fails in between is done by the next attempt.
        try await database.run(
            """
            INSERT INTO opt_outs (msisdn, opted_out_at) VALUES (?, ?)
            ON CONFLICT (msisdn) DO UPDATE SET opted_out_at = max(opted_out_at, excluded.opted_out_at)
            """, .text(msisdn), .integer(time.millisecondsSinceEpoch))
        try await database.run(
            "DELETE FROM subscribers WHERE msisdn = ? AND subscribed_at <= ?", .text(msisdn),
            .integer(time.millisecondsSinceEpoch))
    }

    /// Everybody on the list.
    func subscribers() async throws -> [String] {
        try await database.rows("SELECT msisdn FROM subscribers ORDER BY msisdn").compactMap { $0.first?.text }
    }

    func consumer(_ configuration: EventConsumer.Configuration) -> EventConsumer {
        EventConsumer(configuration: configuration)
            .onOptOut { optOut, context in
                guard let msisdn = optOut.msisdn else { return }
                try await self.optOut(msisdn, at: context.occurredAt ?? context.receivedAt)
            }
    }
}
