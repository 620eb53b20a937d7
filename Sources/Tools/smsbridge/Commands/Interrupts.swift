import SMSBridgeThreads

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Ctrl-C and SIGTERM for commands that have no event loop.
enum Interrupts {
    /// Calls `body` on a thread of its own at the first of these signals; the second ends the process.
    ///
    /// Called on the main thread before others are started: they inherit that the signals are blocked, and only the
    /// waiting thread takes them.
    static func handle(_ body: @escaping @Sendable () -> Void) {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        _ = try? NamedThread("signals") {
            var waited = sigset_t()
            sigemptyset(&waited)
            sigaddset(&waited, SIGINT)
            sigaddset(&waited, SIGTERM)
            var signal: Int32 = 0
            sigwait(&waited, &signal)
            body()
            sigwait(&waited, &signal)
            exit(128 + signal)
        }
    }
}
