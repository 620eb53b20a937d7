internal import Synchronization

/// Whether this instance can give a 2xx now, and if not, why not.
///
/// Each condition has a name; the instance is ready when none is unmet. Alerts are shown beside them and change nothing:
/// that Kafka is away, while the spool takes events, must not turn every replica red at once.
package final class ServiceReadiness: Sendable {
    private struct State {
        var unmet: [String: String]
        var alerts: [String: String] = [:]
    }

    private let ready: Atomic<Bool>
    private let state: Mutex<State>

    /// - Parameter unmet: conditions that hold only later, with the reason to show until then.
    package init(unmet: [String: String] = ["starting": "the bridge is starting"]) {
        ready = Atomic(unmet.isEmpty)
        state = Mutex(State(unmet: unmet))
    }

    /// The answer in one load, for the public port.
    package var isReady: Bool { ready.load(ordering: .acquiring) }

    /// Sets a condition: nil when it is met, else why it is not, in words for an operator.
    package func set(_ condition: String, unmet reason: String?) {
        state.withLock { state in
            state.unmet[condition] = reason
            ready.store(state.unmet.isEmpty, ordering: .releasing)
        }
    }

    /// Sets an alert, or takes it back with nil.
    package func alert(_ name: String, _ reason: String?) {
        state.withLock { $0.alerts[name] = reason }
    }

    /// All of it in a line: what keeps the instance from being ready, then the alerts; `serving` when there is neither.
    package var summary: String {
        let reasons = state.withLock { state in
            [state.unmet, state.alerts].flatMap { $0.sorted { $0.key < $1.key }.map(\.value) }
        }
        return reasons.isEmpty ? "serving" : reasons.joined(separator: "; ")
    }

    /// Why the instance is not ready, by name of the condition.
    package var unmet: [(name: String, reason: String)] {
        state.withLock { $0.unmet }.sorted { $0.key < $1.key }.map { (name: $0.key, reason: $0.value) }
    }

    /// What is unmet and what is alerted, of one moment.
    var conditions: (unmet: [String: String], alerts: [String: String]) { state.withLock { ($0.unmet, $0.alerts) } }
}
