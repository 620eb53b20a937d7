public import SMSPortalEvents

/// Runs around every attempt of every handler: for spans, log lines, timers, context of the service.
///
/// ```swift
/// consumer.use { event, context, next in
///     let start = ContinuousClock.now
///     try await next()
///     context.log.info("handled", ["type": event.type.rawValue, "took": "\(ContinuousClock.now - start)"])
/// }
/// ```
///
/// An error that `next()` throws is the handler's; one that the middleware throws counts like it. A middleware that returns
/// without calling `next()` has handled the event. `next()` is called once at most.
public struct EventMiddleware: Sendable {
    /// Runs the middleware that was registered later, and then the handler.
    public typealias Next = @Sendable () async throws -> Void

    let body: @Sendable (Event, EventContext, Next) async throws -> Void

    /// - Parameter body: Runs around an attempt; calls `next()` for the handler.
    public init(_ body: @escaping @Sendable (Event, EventContext, Next) async throws -> Void) {
        self.body = body
    }

    /// Logs every attempt of a handler with its duration, at level debug: `handler finished`, or `handler failed` with the type
    /// of the error.
    public static let logging = EventMiddleware { event, context, next in
        let start = ContinuousClock.now
        func fields(_ error: String? = nil) -> KeyValuePairs<String, String> {
            let duration = "\((ContinuousClock.now - start) / .milliseconds(1))"
            guard let error else { return ["type": event.type.rawValue, "durationMs": duration] }
            return ["type": event.type.rawValue, "durationMs": duration, "error": error]
        }
        do {
            try await next()
        } catch {
            context.log.debug("handler failed", fields(Failure.kind(of: error)))
            throw error
        }
        context.log.debug("handler finished", fields())
    }
}

extension EventConsumer {
    /// Runs a middleware around every attempt of every handler. The one that is registered first is the outermost.
    ///
    /// - Parameter middleware: Registered before ``run()``.
    @discardableResult
    public func use(_ middleware: EventMiddleware) -> Self {
        withHandlers { $0.use(middleware) }
    }

    /// Runs a closure around every attempt of every handler; see ``EventMiddleware``.
    ///
    /// - Parameter body: Calls `next()` for the handler.
    @discardableResult
    public func use(
        _ body: @escaping @Sendable (Event, EventContext, EventMiddleware.Next) async throws -> Void
    ) -> Self {
        use(EventMiddleware(body))
    }
}
