internal import SMSPortalEvents

/// The handlers of a consumer, by type.
struct EventHandlers: Sendable {
    typealias Handler = @Sendable (Event, EventContext) async throws -> Void

    /// By the type's position.
    private var ofType = [Handler?](repeating: nil, count: EventType.allCases.count)
    private(set) var ofOptOut: Handler?

    /// - Returns: false when the type has a handler already.
    mutating func set(_ type: EventType, _ handler: @escaping Handler) -> Bool {
        defer { ofType[type.index] = handler }
        return ofType[type.index] == nil
    }

    mutating func setOptOut(_ handler: @escaping Handler) -> Bool {
        defer { ofOptOut = handler }
        return ofOptOut == nil
    }

    var isEmpty: Bool { ofOptOut == nil && !ofType.contains { $0 != nil } }

    /// Who handles an event; nil when nobody does.
    func handler(of event: Event) -> Handler? {
        if event.isOptOut, let ofOptOut { return ofOptOut }
        return ofType[event.type.index]
    }

    /// The topics that bring events for these handlers.
    func topics(prefix: String, includesTest: Bool) -> [String] {
        var topics = Set(EventType.allCases.filter { ofType[$0.index] != nil }.map(\.topic))
        if ofOptOut != nil { topics.formUnion([.reply, .shortCode]) }
        if includesTest { topics.insert(.test) }
        return EventTopic.allCases.filter(topics.contains).map { $0.name(prefix: prefix) }
    }
}
