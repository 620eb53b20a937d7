internal import CSMSBridgeSystem
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Watches signals of the process. Any number of watches may be active at once, on the same signals too; while one is, the
/// signal has no other effect. With the last watch on a signal, its previous disposition is restored.
package final class SignalWatch: Sendable {
    private struct State {
        var watches: [ObjectIdentifier: (signals: Set<Int32>, body: @Sendable (Int32) -> Void)] = [:]
        /// Dispositions from before the first watch.
        var previous: [Int32: sigaction] = [:]
        /// The ends of the pipe that the signal handler writes to; it stays open, and the thread that reads it alive.
        var pipe: (readEnd: Int32, writeEnd: Int32)?
    }

    private static let state = Mutex(State())

    /// - Parameters:
    ///   - signals: Numbers, such as `SIGTERM`.
    ///   - body: Gets the number of each signal that arrives, on a thread of its own; must not block.
    /// - Throws: `ThreadError` when the process has no descriptors or threads left, or a signal cannot be caught (`SIGKILL`).
    package init(_ signals: Set<Int32>, _ body: @escaping @Sendable (Int32) -> Void) throws(ThreadError) {
        let identity = ObjectIdentifier(self)
        let failure = Self.state.withLock { state -> ThreadError? in
            do throws(ThreadError) {
                let writeEnd = try Self.openPipe(&state)
                for signal in signals where state.previous[signal] == nil {
                    var before = sigaction()
                    guard csystem_watch_signal(signal, writeEnd, &before) == 0 else { throw ThreadError(errno: errno) }
                    state.previous[signal] = before
                }
                state.watches[identity] = (signals, body)
                return nil
            } catch {
                Self.restore(&state)
                return error
            }
        }
        if let failure { throw failure }
    }

    deinit { end() }

    /// Ends the watch. A signal that has arrived just before may still be reported.
    package func end() {
        let identity = ObjectIdentifier(self)
        Self.state.withLock { state in
            guard state.watches.removeValue(forKey: identity) != nil else { return }
            Self.restore(&state)
        }
    }

    /// Restores the dispositions of signals without a watch.
    private static func restore(_ state: inout State) {
        let watched = state.watches.values.reduce(into: Set<Int32>()) { $0.formUnion($1.signals) }
        for (signal, before) in state.previous where !watched.contains(signal) {
            var before = before
            sigaction(signal, &before, nil)
            state.previous[signal] = nil
        }
    }

    /// - Returns: The end that the signal handler writes to.
    private static func openPipe(_ state: inout State) throws(ThreadError) -> Int32 {
        if let pipe = state.pipe { return pipe.writeEnd }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ThreadError(errno: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        // A signal handler must not wait.
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        let readEnd = ends[0]
        do throws(ThreadError) { _ = try NamedThread("sms-signals") { Self.report(from: readEnd) } } catch {
            for end in ends { close(end) }
            throw error
        }
        state.pipe = (ends[0], ends[1])
        return ends[1]
    }

    private static func report(from readEnd: Int32) {
        while true {
            var number: UInt8 = 0
            let count = read(readEnd, &number, 1)
            if count < 0, errno == EINTR { continue }
            guard count == 1 else { return }
            let signal = Int32(number)
            let bodies = state.withLock { $0.watches.values.filter { $0.signals.contains(signal) }.map(\.body) }
            for body in bodies { body(signal) }
        }
    }
}
