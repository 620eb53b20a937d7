internal import SMSBridgeTelemetry
public import SMSPortalEvents
internal import Synchronization

/// Reacts to SMSPortal's events: reads the bridge's topics as a member of a consumer group, and calls a handler for
/// each event.
///
/// ```swift
/// let consumer = EventConsumer(configuration: .fromEnvironment(group: "orders"))
///     .onDeliveryStatus { status, context in
///         guard status.state == .delivered, let reference = status.reference else { return }
///         try await orders.markDelivered(reference)
///         context.log.info("order delivered")
///     }
/// await consumer.runOrExit()
/// ```
///
/// It promises: every event is handled at least once. The events of one number and type are handled one after the
/// other, in the order in which one instance of the bridge answered them; those of different numbers are handled
/// concurrently. An event that fails is tried again, and then kept in the group's dead-letter topic; no other number
/// waits for it.
public final class EventConsumer: Sendable {
    /// How the consumer reads.
    public let configuration: Configuration
    let control: ConsumerControl
    let monitor: HealthMonitor
    private let state = Mutex(State())

    private struct State {
        var handlers = EventHandlers()
        var hasBegun = false
        var onAssigned: (@Sendable ([EventPartition]) -> Void)?
        var onRevoked: (@Sendable ([EventPartition]) -> Void)?
        var onLost: (@Sendable ([EventPartition]) -> Void)?
    }

    /// A consumer that reads nothing yet.
    ///
    /// - Parameter configuration: The configuration. ``run()`` reports its problems.
    public init(configuration: Configuration) {
        self.configuration = configuration
        control = ConsumerControl()
        monitor = HealthMonitor(group: configuration.group)
    }

    // MARK: Handlers

    /// Handles delivery statuses. A handler that returns has handled the event; one that throws is called again, as
    /// ``Configuration/failure`` says. It is cancelled when its time is over (``Configuration/revokeTimeout``).
    ///
    /// Every type has one handler, registered before ``run()``, which throws when there is a second one.
    ///
    /// - Parameters:
    ///   - startAt: Where the group begins in the topic when it has committed no offset there. By default a new group
    ///     begins at ``Configuration/startAt``, and a handler that is new in an existing group at the end of the topic.
    ///     Handlers that share a topic begin at the earliest of their positions. It changes nothing once an offset is
    ///     committed.
    ///   - handler: Handles an event.
    @discardableResult
    public func onDeliveryStatus(
        startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable (DeliveryStatus, EventContext) async throws -> Void
    ) -> Self {
        register(.deliveryStatus, startAt) { if case .deliveryStatus(let event) = $0 { try await handler(event, $1) } }
    }

    /// Handles replies. With a handler for opt-outs, replies that are opt-outs go there and not here: no handler is
    /// called back who has just said stop.
    @discardableResult
    public func onReply(
        startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable (Reply, EventContext) async throws -> Void
    ) -> Self {
        register(.reply, startAt) { if case .reply(let event) = $0 { try await handler(event, $1) } }
    }

    /// Handles messages to short codes; opt-outs go to the handler for opt-outs, if there is one.
    @discardableResult
    public func onShortCode(
        startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable (ShortCodeMessage, EventContext) async throws -> Void
    ) -> Self {
        register(.shortCode, startAt) { if case .shortCode(let event) = $0 { try await handler(event, $1) } }
    }

    /// Handles replies and messages to short codes that are opt-out phrases, as the bridge is configured to know them.
    @discardableResult
    public func onOptOut(
        startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable (OptOut, EventContext) async throws -> Void
    ) -> Self {
        withHandlers {
            $0.setOptOut(startAt) { event, context in
                if let optOut = OptOut(event) { try await handler(optOut, context) }
            }
        }
    }

    /// Handles link previews.
    @discardableResult
    public func onURLPreview(
        startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable (URLPreview, EventContext) async throws -> Void
    ) -> Self {
        register(.urlPreview, startAt) { if case .urlPreview(let event) = $0 { try await handler(event, $1) } }
    }

    /// Handles clicks and landing-page interactions.
    @discardableResult
    public func onURLClick(
        startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable (URLClick, EventContext) async throws -> Void
    ) -> Self {
        register(.urlClick, startAt) { if case .urlClick(let event) = $0 { try await handler(event, $1) } }
    }

    /// Handles callbacks that could not be understood, from the quarantine.
    @discardableResult
    public func onUnrecognised(
        startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable (Unrecognised, EventContext) async throws -> Void
    ) -> Self {
        register(.unrecognised, startAt) { if case .unrecognised(let event) = $0 { try await handler(event, $1) } }
    }

    /// Handles events of several types with one handler.
    @discardableResult
    public func on(
        _ types: EventType..., startAt: Configuration.Position? = nil,
        handler: @escaping @Sendable (Event, EventContext) async throws -> Void
    ) -> Self {
        for type in types { register(type, startAt, handler) }
        return self
    }

    @discardableResult
    func register(
        _ type: EventType, _ startAt: Configuration.Position? = nil, _ handler: @escaping EventHandlers.Handler
    ) -> Self {
        withHandlers { $0.set(type, startAt, handler) }
    }

    @discardableResult
    func withHandlers(_ body: (inout EventHandlers) -> Void) -> Self {
        let isTooLate = state.withLock { state in
            if !state.hasBegun { body(&state.handlers) }
            return state.hasBegun
        }
        if isTooLate {
            Logger(label: "consumer", sink: configuration.log.sink).error(
                "a handler was registered after run() had begun: it is ignored", ["group": configuration.group])
        }
        return self
    }

    // MARK: Partitions

    /// Called when the group has given partitions to this member, before their first event is handled. Must not block.
    @discardableResult
    public func onPartitionsAssigned(_ body: @escaping @Sendable ([EventPartition]) -> Void) -> Self {
        state.withLock { $0.onAssigned = body }
        return self
    }

    /// Called when the group takes partitions away, after their last event was handled and committed. Must not block.
    @discardableResult
    public func onPartitionsRevoked(_ body: @escaping @Sendable ([EventPartition]) -> Void) -> Self {
        state.withLock { $0.onRevoked = body }
        return self
    }

    /// Called when partitions have gone to other members already, because this one was not heard of in time: what was
    /// handled and not committed is handled again there. Must not block.
    @discardableResult
    public func onPartitionsLost(_ body: @escaping @Sendable ([EventPartition]) -> Void) -> Self {
        state.withLock { $0.onLost = body }
        return self
    }

    // MARK: Running

    /// Joins the group and handles events until ``shutdown()`` is called or the task is cancelled.
    ///
    /// A consumer runs once. While Kafka cannot be reached it waits and says so in the log.
    ///
    /// Shutting down lets running handlers finish (``Configuration/shutdownTimeout``), commits what is done and leaves
    /// the group. Cancelling the task does the same, but cancels the handlers at once.
    ///
    /// - Throws: ``EventConsumerError`` when the configuration is wrong, the topics of the group cannot be made, a
    ///   policy says to stop, or Kafka's client cannot go on.
    public nonisolated(nonsending) func run() async throws {
        let begun = state.withLock { state -> State? in
            guard !state.hasBegun else { return nil }
            state.hasBegun = true
            return state
        }
        guard let begun else { throw EventConsumerError(.used, "a consumer runs once: make another one") }
        var problems = configuration.problems() + begun.handlers.problems
        if begun.handlers.isEmpty { problems.append("no handler is registered") }
        guard problems.isEmpty else { throw EventConsumerError(problems: problems) }
        let observers = PartitionObservers(assigned: begun.onAssigned, revoked: begun.onRevoked, lost: begun.onLost)
        let run = ConsumerRun(
            configuration.reporting(to: monitor), handlers: begun.handlers.wrapped(), observers: observers,
            control: control,
            monitor: monitor)
        monitor.update { $0.state = .starting }
        defer { monitor.ended() }
        try await withTaskCancellationHandler {
            try await shuttingDownGracefully { try await run.untilEnd() }
        } onCancel: {
            control.stop(.cancelled)
        }
    }

    /// Runs a replay through its handlers.
    nonisolated(nonsending) func replay(_ task: ReplayTask, control: ConsumerControl) async throws {
        let handlers = state.withLock { $0.handlers }
        var problems = configuration.problems() + handlers.problems + task.problems()
        if handlers.isEmpty { problems.append("no handler is registered") }
        guard problems.isEmpty else { throw EventConsumerError(problems: problems) }
        let run = ConsumerRun(
            configuration, handlers: handlers.wrapped(), observers: PartitionObservers(), control: control, replay: task
        )
        try await withTaskCancellationHandler {
            try await run.untilEnd()
        } onCancel: {
            control.stop(.cancelled)
        }
    }

    /// The topics that its handlers react to.
    package var topics: [String] {
        state.withLock {
            $0.handlers.topics(
                prefix: configuration.topicPrefix, includesTest: configuration.includesTestEvents)
        }
    }

    /// Ends ``run()``: running handlers finish, what is done is committed, the group is left. May be called from
    /// anywhere and at any time, more than once; called before ``run()``, that ends at once.
    public func shutdown() {
        control.stop(.graceful)
    }
}

/// A partition of one of the topics that a consumer reads.
public struct EventPartition: Sendable, Hashable, CustomStringConvertible {
    /// The topic's whole name.
    public let topic: String
    /// The partition's number.
    public let partition: Int32

    init(topic: String, partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    /// `topic[partition]`.
    public var description: String { "\(topic)[\(partition)]" }
}

/// A reply or a message to a short code that is an opt-out phrase.
public struct OptOut: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
    /// What it came as: a reply or a message to a short code.
    public let event: Event
    /// What the subscriber wrote.
    public let text: String

    /// - Returns: nil when the event is no opt-out.
    public init?(_ event: Event) {
        switch event {
        case .reply(let reply) where reply.isOptOut: text = reply.text
        case .shortCode(let message) where message.isOptOut: text = message.text
        default: return nil
        }
        self.event = event
    }

    /// What identifies the event, and nothing of the subscriber.
    public var description: String { "opt-out, \(event)" }

    /// What ``description`` shows.
    public var customMirror: Mirror { Mirror(self, children: ["event": event]) }

    /// The number of the subscriber; nil when the callback named none.
    public var msisdn: String? { event.msisdn }
    /// The account whose subscriber it was.
    public var account: String { event.account }
}
