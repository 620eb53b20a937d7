internal import SMSBridgeExampleSupport
internal import SMSPortalConsumer
internal import SMSPortalEvents

/// Remembers whom to write to again about a link: who has opened it gets the offer, and who has seen its preview only a
/// reminder.
///
/// A preview is fetched by a telephone or an app, not by a person: it tells that the message has arrived. There is one
/// follow-up for a number and a reference (what was given along when sending), however often the link is touched; a
/// click outweighs previews, whichever comes first.
struct FollowUps: Sendable {
    enum Kind: String, Sendable { case offer, reminder }

    struct FollowUp: Sendable, Hashable {
        var msisdn: String
        var reference: String
        var kind: Kind
    }

    private let database: Database
    /// An offer follows a click after one day, a reminder follows a preview after three.
    private static let day: Int64 = 86_400_000

    init(_ path: String) throws {
        database = try Database(
            path,
            schema: """
                CREATE TABLE IF NOT EXISTS follow_ups (
                    msisdn TEXT NOT NULL, reference TEXT NOT NULL, kind TEXT NOT NULL, due_at INTEGER NOT NULL,
                    PRIMARY KEY (msisdn, reference))
                """)
    }

    func clicked(_ click: URLClick) async throws {
        try await note(click.envelope, .offer, days: 1)
    }

    func previewed(_ preview: URLPreview) async throws {
        try await note(preview.envelope, .reminder, days: 3)
    }

    private func note(_ envelope: Envelope, _ kind: Kind, days: Int64) async throws {
        guard let msisdn = envelope.msisdn else { return }
        let time = (envelope.occurredAt ?? envelope.receivedAt).millisecondsSinceEpoch
        try await database.run(
            """
            INSERT INTO follow_ups (msisdn, reference, kind, due_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (msisdn, reference) DO UPDATE SET kind = excluded.kind, due_at = excluded.due_at
            WHERE excluded.kind = 'offer' AND follow_ups.kind = 'reminder'
            """,
            .text(msisdn), .text(envelope.reference ?? ""), .text(kind.rawValue), .integer(time + days * Self.day))
    }

    /// What is due at a time, earliest first.
    func due(at time: EventTime) async throws -> [FollowUp] {
        try await database.rows(
            "SELECT msisdn, reference, kind FROM follow_ups WHERE due_at <= ? ORDER BY due_at, msisdn",
            .integer(time.millisecondsSinceEpoch)
        ).compactMap { row in
            guard let kind = row[2].text.flatMap(Kind.init(rawValue:)) else { return nil }
            return FollowUp(msisdn: row[0].text ?? "", reference: row[1].text ?? "", kind: kind)
        }
    }

    func consumer(_ configuration: EventConsumer.Configuration) -> EventConsumer {
        EventConsumer(configuration: configuration)
            .onURLClick { click, _ in try await clicked(click) }
            .onURLPreview { preview, _ in try await previewed(preview) }
    }
}
