// The part of swift-service-lifecycle's interface that the trait uses, for machines that cannot fetch the package.

/// As `ServiceLifecycle.Service`.
public protocol Service: Sendable {
    /// Runs until it is told to end.
    func run() async throws
}

/// What stands for a `ServiceGroup`: tells whoever runs inside of it to shut down.
public final class Shutdown: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    /// Nothing is shut down yet.
    public init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    /// Begins the shutdown.
    public func trigger() { continuation.finish() }

    func wait() async {
        for await _ in stream {}
    }

    @TaskLocal static var current: Shutdown?

    /// Runs a service until it ends.
    public func run(_ service: any Service) async throws {
        try await Self.$current.withValue(self) { try await service.run() }
    }
}

/// As `ServiceLifecycle.withGracefulShutdownHandler`.
public func withGracefulShutdownHandler<T: Sendable>(
    isolation: isolated (any Actor)? = #isolation, operation: () async throws -> T,
    onGracefulShutdown handler: @Sendable @escaping () -> Void
) async rethrows -> T {
    guard let shutdown = Shutdown.current else { return try await operation() }
    let watch = Task {
        await shutdown.wait()
        if !Task.isCancelled { handler() }
    }
    defer { watch.cancel() }
    return try await operation()
}
