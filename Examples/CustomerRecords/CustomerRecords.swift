internal import SMSBridgeExampleSupport
internal import SMSPortalConsumer
internal import SMSPortalEvents

/// Keeps in each customer's record how the last message to them fared.
///
/// An event may come twice, and an earlier one after a later one (see `EventConsumer`): so a status is only written over
/// one that occurred before it, or at the same time and was not final. Writing it again changes nothing.
struct CustomerRecords: Sendable {
    private let database: Database

    init(_ path: String) throws {
        database = try Database(
            path,
            schema: """
                CREATE TABLE IF NOT EXISTS customers (
                    msisdn TEXT PRIMARY KEY, state TEXT NOT NULL, status TEXT NOT NULL, message_id TEXT,
                    is_final INTEGER NOT NULL, occurred_at INTEGER NOT NULL)
                """)
    }

    func update(_ status: DeliveryStatus) async throws {
        guard let msisdn = status.msisdn else { return }
        let occurredAt = status.occurredAt ?? status.receivedAt
        try await database.run(
            """
            INSERT INTO customers (msisdn, state, status, message_id, is_final, occurred_at) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (msisdn) DO UPDATE SET state = excluded.state, status = excluded.status,
                message_id = excluded.message_id, is_final = excluded.is_final, occurred_at = excluded.occurred_at
            WHERE excluded.occurred_at > customers.occurred_at
                OR (excluded.occurred_at = customers.occurred_at AND excluded.is_final > customers.is_final)
            """,
            .text(msisdn), .text(status.state.rawValue), .text(status.status), .init(status.messageID),
            .integer(status.state == .delivered || status.state == .failed ? 1 : 0),
            .integer(occurredAt.millisecondsSinceEpoch))
    }

    /// How the last message to a customer fared; nil for one who is not known.
    func state(of msisdn: String) async throws -> DeliveryState? {
        try await database.rows("SELECT state FROM customers WHERE msisdn = ?", .text(msisdn))
            .first?.first?.text.flatMap(DeliveryState.init(rawValue:))
    }

    func consumer(_ configuration: EventConsumer.Configuration) -> EventConsumer {
        EventConsumer(configuration: configuration)
            .onDeliveryStatus { status, _ in try await update(status) }
    }
}
