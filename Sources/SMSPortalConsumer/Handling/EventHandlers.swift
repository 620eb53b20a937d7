internal import SMSPortalEvents

/// The handlers of a consumer, by type.
struct EventHandlers: Sendable {
    typealias Handler = @Sendable (Event, EventContext) async throws -> Void

    private(set) var ofType: [EventType: Handler] = [:]
    private(set) var ofOptOut: Handler?

    /// - Returns: false when the type has a handler already.
    mutating func set(_ type: EventType, _ handler: @escaping Handler) -> Bool {
        ofType.updateValue(handler, forKey: type) == nil
    }

    mutating func setOptOut(_ handler: @escaping Handler) -> Bool {
        defer { ofOptOut = handler }
        return ofOptOut == nil
    }

    /// Who handles an event; nil when nobody does.
    func handler(of event: Event) -> Handler? {
        if event.isOptOut, let ofOptOut { return ofOptOut }
        return ofType[event.type]
    }

    /// The topics that bring events for these handlers.
    func topics(prefix: String, includesTest: Bool) -> [String] {
        var topics = Set(ofType.keys.map(\.eventTopic))
        if ofOptOut != nil { topics.formUnion([.reply, .shortCode]) }
        if includesTest { topics.insert(.test) }
        return EventTopic.allCases.filter(topics.contains).map { $0.name(prefix: prefix) }
    }
}

extension EventType {
    fileprivate var eventTopic: EventTopic {
        switch self {
        case .deliveryStatus: .deliveryStatus
        case .reply: .reply
        case .shortCode: .shortCode
        case .urlPreview: .urlPreview
        case .urlClick: .urlClick
        case .unrecognised: .quarantine
        }
    }
}
