import SMSBridgeThreads
import Synchronization
import Testing

@Suite struct NamedThreadTests {
    @Test func bodyRunsOnceAndJoinWaitsForIt() throws {
        let runs = Counter()
        let thread = try NamedThread("a name of more than fifteen bytes") { runs.value.add(1, ordering: .relaxed) }
        thread.join()
        #expect(runs.value.load(ordering: .relaxed) == 1)
    }

    private final class Counter: Sendable {
        let value = Atomic(0)
    }
}

@Suite struct StopSignalTests {
    @Test func itEndsAWaitAndStaysSet() throws {
        let signal = try StopSignal()
        #expect(!signal.wait(milliseconds: 1))
        let thread = try NamedThread("waiter") { while !signal.wait(milliseconds: 60_000) {} }
        signal.set()
        signal.set()
        thread.join()
        #expect(signal.wait(milliseconds: 0))
    }
}
