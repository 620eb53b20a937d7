internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Signals that end a consumer.
public struct ShutdownSignals: OptionSet, Sendable, Hashable {
    /// A bit per signal.
    public let rawValue: UInt8

    /// - Parameter rawValue: A bit per signal.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// `SIGTERM`: systemd, Docker and Kubernetes end a process with it.
    public static let sigterm = ShutdownSignals(rawValue: 1)
    /// `SIGINT`: Ctrl-C.
    public static let sigint = ShutdownSignals(rawValue: 2)
    /// `SIGHUP`: the terminal was closed.
    public static let sighup = ShutdownSignals(rawValue: 4)
    /// `SIGTERM` and `SIGINT`.
    public static let standard: ShutdownSignals = [.sigterm, .sigint]

    private static let known: [(ShutdownSignals, number: Int32, name: String)] = [
        (.sigterm, SIGTERM, "SIGTERM"), (.sigint, SIGINT, "SIGINT"), (.sighup, SIGHUP, "SIGHUP"),
    ]

    var numbers: Set<Int32> { Set(Self.known.filter { contains($0.0) }.map(\.number)) }

    static func name(of number: Int32) -> String {
        known.first { $0.number == number }?.name ?? "\(number)"
    }
}

extension EventConsumer {
    /// Joins the group and handles events until the process receives a signal, ``shutdown()`` is called, or the task is
    /// cancelled.
    ///
    /// The first signal is ``shutdown()``: running handlers finish, what is done is committed, and this returns. The second
    /// one cancels the handlers that are still running. Signals have no other effect while it runs; then their previous
    /// disposition is restored. May be called from any context: the top level of a `main.swift`, a type marked `@main`, an
    /// actor. Several consumers of a process may watch the same signals; each of them ends.
    ///
    /// - Parameter signals: The signals that end it.
    /// - Throws: ``EventConsumerError``, as ``run()`` does.
    public nonisolated(nonsending) func run(until signals: ShutdownSignals) async throws {
        let watch = try watch(signals, control)
        defer { watch?.end() }
        try await run()
    }

    /// Runs the consumer as the last thing that a program does: until `SIGTERM` or `SIGINT`, as ``run(until:)`` says.
    ///
    /// When it cannot run, it writes one line per problem to standard error and exits: with 2 when the configuration or the
    /// handlers are wrong, with 1 for every other error. A thrown error at the top level of a program would be a trap and a
    /// stack trace instead.
    ///
    /// - Parameter signals: The signals that end it.
    public nonisolated(nonsending) func runOrExit(until signals: ShutdownSignals = .standard) async {
        do { try await run(until: signals) } catch {
            let error = error as? EventConsumerError ?? EventConsumerError(.kafka, "\(error)")
            let isUsage = error.code == .configuration
            let lines = isUsage ? error.problems.map { "configuration: \($0)" } : [error.message]
            let text = Array(lines.map { "error: \($0)\n" }.joined().utf8)
            _ = write(2, text, text.count)
            exit(isUsage ? 2 : 1)
        }
    }

    /// The first signal is a graceful stop, the second one a cancellation.
    ///
    /// - Returns: nil when there are no signals to watch.
    func watch(_ signals: ShutdownSignals, _ control: ConsumerControl) throws(EventConsumerError) -> SignalWatch? {
        guard !signals.isEmpty else { return nil }
        let log = Logger(label: "consumer", sink: configuration.log.sink)
        let count = SignalCount()
        do throws(ThreadError) {
            return try SignalWatch(signals.numbers) { [control, configuration] number in
                let fields: LogFields = ["signal": ShutdownSignals.name(of: number), "group": configuration.group]
                if count.next() == 1 {
                    log.info("shutdown started", fields)
                    control.stop(.graceful)
                } else {
                    log.warning("second signal: handlers are cancelled", fields)
                    control.stop(.cancelled)
                }
            }
        } catch {
            throw EventConsumerError(.kafka, error.description)
        }
    }
}

private final class SignalCount: Sendable {
    private let count = Atomic(0)

    func next() -> Int { count.wrappingAdd(1, ordering: .relaxed).newValue }
}
