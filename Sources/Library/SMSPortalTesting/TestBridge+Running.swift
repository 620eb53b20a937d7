public import SMSPortalConsumer
internal import Synchronization

extension TestBridge {
    /// Runs a consumer until it has handled everything that was published, and shuts it down.
    ///
    /// - Parameters:
    ///   - consumer: Not run before.
    ///   - timeout: How long it may take.
    /// - Throws: What the consumer throws; ``TestBridgeError`` when it takes longer, with how far it came.
    public func run(_ consumer: EventConsumer, timeout: Duration = .seconds(60)) async throws {
        try await run(consumer, timeout: timeout) {}
    }

    /// Runs a consumer while a test does something, until it has handled everything that was published, and shuts it
    /// down.
    ///
    /// ```swift
    /// try await bridge.run(consumer) {
    ///     try await bridge.publish(texts.map { .reply(.sample(text: $0)) })
    ///     try await bridge.untilHandled(by: consumer)
    ///     #expect(seen.all == texts)
    ///     try await bridge.publish(.reply(.sample(text: "last")))
    /// }
    /// ```
    ///
    /// An event is handled when its offset is committed: when its handler has returned, and also when it is skipped or a
    /// dead letter.
    ///
    /// - Parameters:
    ///   - consumer: Not run before.
    ///   - timeout: How long the consumer may take once `body` has returned.
    ///   - body: What happens while the consumer runs.
    /// - Returns: What `body` returns.
    /// - Throws: What the consumer throws, else what `body` throws; ``TestBridgeError`` when it takes longer, with how far
    ///   it came.
    public func run<R>(
        _ consumer: EventConsumer, timeout: Duration = .seconds(60), isolation: isolated (any Actor)? = #isolation,
        _ body: () async throws -> R
    ) async throws -> R {
        let run = RunningConsumer(consumer)
        let identity = ObjectIdentifier(consumer)
        runs.withLock { $0[identity] = run }
        defer { runs.withLock { $0[identity] = nil } }
        let result: Result<R, any Error>
        do {
            let value = try await body()
            // One that has been shut down by the test, or by a handler, is not waited for.
            if run.isRunning { try await untilHandled(by: consumer, timeout: timeout) }
            result = .success(value)
        } catch {
            result = .failure(error)
        }
        consumer.shutdown()
        try await run.untilEnd()
        return try result.get()
    }

    /// Waits until a running consumer has handled everything that had been published when this was called.
    ///
    /// It is also for consumers that a test runs by itself.
    ///
    /// - Parameters:
    ///   - consumer: With a configuration of this bridge.
    ///   - timeout: How long it may take.
    /// - Throws: ``TestBridgeError`` when it takes longer, or when the consumer ends before, with how far it came.
    public func untilHandled(by consumer: EventConsumer, timeout: Duration = .seconds(60)) async throws {
        let run = runs.withLock { $0[ObjectIdentifier(consumer)] }
        let isCancelled = Flag()
        let outcome = try await withTaskCancellationHandler {
            try await onThread("test-bridge-wait") { () throws(TestBridgeError) in
                try Progress.wait(for: consumer, timeout: timeout) {
                    if isCancelled.value { return .cancelled }
                    return run?.isRunning == false ? .ended : nil
                }
            }
        } onCancel: {
            isCancelled.set()
        }
        switch outcome {
        case .handled: return
        case .gaveUp(.cancelled, _): throw CancellationError()
        case .gaveUp(.ended, let missing):
            throw TestBridgeError(.ended, "the consumer has ended before it had handled \(missing)")
        case .gaveUp(.timedOut, let missing):
            let lines = logLines.suffix(5).map { "\n  \($0)" }.joined()
            throw TestBridgeError(
                .timedOut,
                "after \(timeout) the group '\(consumer.configuration.group)' has not handled \(missing)"
                    + (lines.isEmpty ? "" : "; its last log lines:\(lines)"))
        }
    }

    /// Waits until a condition holds, for what has no event of its own to wait for.
    ///
    /// - Parameters:
    ///   - what: What is awaited, for the message: `"the second attempt"`.
    ///   - timeout: How long it may take.
    ///   - condition: Asked every few milliseconds.
    /// - Throws: ``TestBridgeError`` when it takes longer; what `condition` throws.
    public func until(
        _ what: String, timeout: Duration = .seconds(60), isolation: isolated (any Actor)? = #isolation,
        _ condition: () async throws -> Bool
    ) async throws {
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        while true {
            if try await condition() { return }
            guard clock.now < deadline else {
                throw TestBridgeError(.timedOut, "after \(timeout) still awaited: \(what)")
            }
            try await Task.sleep(for: .milliseconds(2))
        }
    }
}

/// A consumer that runs, and how it has ended.
final class RunningConsumer: Sendable {
    private let task: Task<Void, any Error>
    private let hasEnded: Flag

    init(_ consumer: EventConsumer) {
        let hasEnded = Flag()
        self.hasEnded = hasEnded
        task = Task {
            defer { hasEnded.set() }
            try await consumer.run()
        }
    }

    var isRunning: Bool { !hasEnded.value }

    /// - Throws: What the consumer throws.
    func untilEnd() async throws {
        try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }
}

/// Set once, from anywhere.
private final class Flag: Sendable {
    private let state = Atomic<Bool>(false)
    var value: Bool { state.load(ordering: .acquiring) }
    func set() { state.store(true, ordering: .releasing) }
}
