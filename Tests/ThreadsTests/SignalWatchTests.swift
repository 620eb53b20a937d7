import Synchronization
import Testing

@testable import SMSBridgeThreads

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

struct SignalWatchTests {
    private final class Count: Sendable {
        private let state = Mutex(0)
        var value: Int { state.withLock { $0 } }
        func add() { state.withLock { $0 += 1 } }
    }

    private func eventually(_ condition: () -> Bool) async -> Bool {
        for _ in 0..<6_000 where !condition() { try? await Task.sleep(for: .milliseconds(5)) }
        return condition()
    }

    private func isDefault(_ signal: Int32) -> Bool {
        var action = sigaction()
        sigaction(signal, nil, &action)
        #if os(Linux)
        return action.__sigaction_handler.sa_handler == nil
        #else
        return action.__sigaction_u.__sa_handler == nil
        #endif
    }

    /// The process would end with a signal that nothing catches.
    @Test func everyWatchGetsASignalAndTheLastOneRestoresItsDisposition() async throws {
        let (first, second) = (Count(), Count())
        #expect(isDefault(SIGUSR2))
        let one = try SignalWatch([SIGUSR2]) { if $0 == SIGUSR2 { first.add() } }
        let other = try SignalWatch([SIGUSR2, SIGWINCH]) { _ in second.add() }
        kill(getpid(), SIGUSR2)
        #expect(await eventually { first.value == 1 && second.value == 1 })
        one.end()
        one.end()
        #expect(!isDefault(SIGUSR2))
        kill(getpid(), SIGUSR2)
        #expect(await eventually { second.value == 2 })
        #expect(first.value == 1)
        other.end()
        #expect(isDefault(SIGUSR2) && isDefault(SIGWINCH))
    }

    @Test func aSignalThatCannotBeCaughtIsAnErrorAndLeavesNothingBehind() {
        #expect(throws: ThreadError.self) { try SignalWatch([SIGKILL, SIGURG]) { _ in } }
        #expect(isDefault(SIGURG))
    }
}
