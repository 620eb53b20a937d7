#if ServiceLifecycle
public import ServiceLifecycle

/// With the package trait `ServiceLifecycle`: a consumer runs in a `ServiceGroup`, and the group's graceful shutdown is
/// ``shutdown()``.
extension EventConsumer: Service {
    nonisolated(nonsending) func shuttingDownGracefully(
        _ body: nonisolated(nonsending) () async throws -> Void
    ) async throws {
        try await withGracefulShutdownHandler {
            try await body()
        } onGracefulShutdown: {
            self.shutdown()
        }
    }
}
#else
extension EventConsumer {
    nonisolated(nonsending) func shuttingDownGracefully(
        _ body: nonisolated(nonsending) () async throws -> Void
    ) async throws {
        try await body()
    }
}
#endif
