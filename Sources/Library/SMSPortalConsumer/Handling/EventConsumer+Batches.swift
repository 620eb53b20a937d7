public import SMSPortalEvents

/// An event of a batch.
public struct BatchedEvent<Payload: Sendable>: Sendable {
    /// The event.
    public let event: Payload
    /// Its position and origin.
    public let context: EventContext
}

extension EventConsumer {
    /// Handles delivery statuses in batches: for a handler that writes many of them with one statement or one transaction.
    ///
    /// A batch has events of one partition, at most one of each number, in the order of their offsets. When the handler returns,
    /// all of them are handled; when it throws, each of them has failed once and is tried again alone, so that one event that
    /// cannot be handled does not hold back the others. Order per number, at least once, retries and dead letters are those of
    /// handlers of single events. A batch does not exceed ``Configuration/concurrency``, which is the number of events that are
    /// being handled at once.
    ///
    /// - Parameters:
    ///   - maxCount: The most events of a batch; at least 1.
    ///   - maxDelay: How long the first event of a batch waits for others; 0 to 60 s.
    ///   - startAt: See ``onDeliveryStatus(startAt:_:)``.
    ///   - handler: Handles a batch.
    @discardableResult
    public func onDeliveryStatuses(
        maxCount: Int = 100, maxDelay: Duration = .milliseconds(20), startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable ([BatchedEvent<DeliveryStatus>]) async throws -> Void
    ) -> Self {
        let batches = register(maxCount, maxDelay, handler)
        return onDeliveryStatus(startAt: startAt) { try await batches.handle($0, $1) }
    }

    /// Handles replies in batches; see ``onDeliveryStatuses(maxCount:maxDelay:startAt:_:)``.
    @discardableResult
    public func onReplies(
        maxCount: Int = 100, maxDelay: Duration = .milliseconds(20), startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable ([BatchedEvent<Reply>]) async throws -> Void
    ) -> Self {
        let batches = register(maxCount, maxDelay, handler)
        return onReply(startAt: startAt) { try await batches.handle($0, $1) }
    }

    /// Handles clicks in batches; see ``onDeliveryStatuses(maxCount:maxDelay:startAt:_:)``.
    @discardableResult
    public func onURLClicks(
        maxCount: Int = 100, maxDelay: Duration = .milliseconds(20), startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable ([BatchedEvent<URLClick>]) async throws -> Void
    ) -> Self {
        let batches = register(maxCount, maxDelay, handler)
        return onURLClick(startAt: startAt) { try await batches.handle($0, $1) }
    }

    /// Handles events of several types in batches, each batch of one type; see
    /// ``onDeliveryStatuses(maxCount:maxDelay:startAt:_:)``.
    @discardableResult
    public func onBatches(
        of types: EventType..., maxCount: Int = 100, maxDelay: Duration = .milliseconds(20),
        startAt: Configuration.Position? = nil,
        _ handler: @escaping @Sendable ([BatchedEvent<Event>]) async throws -> Void
    ) -> Self {
        let batches = register(maxCount, maxDelay, handler)
        for type in types { on(type, startAt: startAt) { try await batches.handle($0, $1) } }
        return self
    }

    private func register<Payload: Sendable>(
        _ maxCount: Int, _ maxDelay: Duration,
        _ handler: @escaping @Sendable ([BatchedEvent<Payload>]) async throws -> Void
    ) -> BatchCollector<Payload> {
        withHandlers { handlers in
            if maxCount < 1 { handlers.add(problem: "maxCount: \(maxCount) is not at least 1") }
            if maxDelay < .zero || maxDelay > .seconds(60) {
                handlers.add(problem: "maxDelay: \(maxDelay) is not within 0 to 60 s")
            }
        }
        return BatchCollector(maxCount: max(1, maxCount), maxDelay: maxDelay, handler: handler)
    }
}
