internal import SMSPortalEvents

/// The handlers of a consumer, by type.
struct EventHandlers: Sendable {
    typealias Handler = @Sendable (Event, EventContext) async throws -> Void

    /// A handler as it is called. A function that is an element itself is kept in the form that generic code calls: a
    /// thunk there and one back, at every call.
    private struct Entry {
        let handler: Handler
    }

    /// By the type's position.
    private var ofType = [Entry?](repeating: nil, count: EventType.allCases.count)
    private var ofOptOut: Entry?

    /// The problems of the registrations, a sentence each.
    private(set) var problems: [String] = []
    /// Where handlers ask to begin, by the topics that they read.
    private var starts: [EventTopic: EventConsumer.Configuration.Position] = [:]

    mutating func set(
        _ type: EventType, _ startAt: EventConsumer.Configuration.Position? = nil, _ handler: @escaping Handler
    ) {
        note(startAt, [type.topic])
        if ofType[type.index] != nil { problems.append("a second handler is registered for \(type.rawValue) events") }
        ofType[type.index] = Entry(handler: handler)
    }

    mutating func setOptOut(
        _ startAt: EventConsumer.Configuration.Position? = nil, _ handler: @escaping Handler
    ) {
        note(startAt, [.reply, .shortCode])
        if ofOptOut != nil { problems.append("a second handler is registered for opt-outs") }
        ofOptOut = Entry(handler: handler)
    }

    private mutating func note(_ startAt: EventConsumer.Configuration.Position?, _ topics: [EventTopic]) {
        guard let startAt else { return }
        for topic in topics { starts[topic] = starts[topic].map { min($0, startAt) } ?? startAt }
    }

    /// Where a group begins in topics in which it has no position, by whole name; nil where no handler asks for it.
    func starts(prefix: String) -> [String: StartPosition] {
        var named: [String: StartPosition] = [:]
        for (topic, position) in starts { named[topic.name(prefix: prefix)] = StartPosition(position) }
        return named
    }

    mutating func add(problem: String) { problems.append(problem) }

    // MARK: Middleware

    private var middleware: [EventMiddleware] = []

    mutating func use(_ one: EventMiddleware) { middleware.append(one) }

    /// The same handlers, with the middleware around each.
    func wrapped() -> EventHandlers {
        guard !middleware.isEmpty else { return self }
        var wrapped = self
        wrapped.middleware = []
        wrapped.ofType = ofType.map { $0.map(wrap) }
        wrapped.ofOptOut = ofOptOut.map(wrap)
        return wrapped
    }

    private func wrap(_ entry: Entry) -> Entry {
        var handler = entry.handler
        for one in middleware.reversed() {
            let inner = handler
            handler = { event, context in
                try await one.body(event, context) { try await inner(event, context) }
            }
        }
        return Entry(handler: handler)
    }

    var isEmpty: Bool { ofOptOut == nil && !ofType.contains { $0 != nil } }

    /// The handler of an event; nil without one.
    @inline(__always)
    func handler(of type: EventType, isOptOut: Bool) -> Handler? {
        if isOptOut, let ofOptOut { return ofOptOut.handler }
        return ofType[type.index]?.handler
    }

    /// The topics that bring events for these handlers.
    func topics(prefix: String, includesTest: Bool) -> [String] {
        var topics = Set(EventType.allCases.filter { ofType[$0.index] != nil }.map(\.topic))
        if ofOptOut != nil { topics.formUnion([.reply, .shortCode]) }
        if includesTest { topics.insert(.test) }
        return EventTopic.allCases.filter(topics.contains).map { $0.name(prefix: prefix) }
    }
}
