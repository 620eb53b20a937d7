internal import SMSBridgeThreads
internal import Synchronization

/// Lets a message through at most once per interval, and counts the others: an outage must not flood the log.
///
/// Keys should come from a bounded set (an error's code, a topic). At most `capacity` of them are remembered; beyond
/// that the one that spoke longest ago is forgotten.
package final class RepeatGuard: Sendable {
    private struct Memory {
        var spokeAt: UInt64
        var suppressed: UInt64
    }

    private let interval: UInt64
    private let capacity: Int
    private let memories = Mutex<[String: Memory]>([:])

    package init(interval: Duration = .seconds(10), capacity: Int = 256) {
        self.interval = interval.nanoseconds
        self.capacity = max(1, capacity)
    }

    /// Says whether the message may be written now.
    ///
    /// - Returns: nil when it is kept back; else how many were kept back since the last one that was written.
    package func admit(_ key: String) -> UInt64? { admit(key, now: monotonicNow()) }

    /// `admit` with the caller's own clock (monotonic nanoseconds).
    package func admit(_ key: String, now: UInt64) -> UInt64? {
        memories.withLock { memories in
            if let memory = memories[key] {
                if now &- memory.spokeAt < interval {
                    memories[key]?.suppressed &+= 1
                    return nil
                }
                memories[key] = Memory(spokeAt: now, suppressed: 0)
                return memory.suppressed
            }
            if memories.count >= capacity, let oldest = memories.min(by: { $0.value.spokeAt < $1.value.spokeAt }) {
                memories[oldest.key] = nil
            }
            memories[key] = Memory(spokeAt: now, suppressed: 0)
            return 0
        }
    }

    /// Forgets a key, because the trouble is over; the next message is written at once.
    ///
    /// - Returns: how many were kept back since the last one that was written, nil when the key had not spoken.
    package func reset(_ key: String) -> UInt64? {
        memories.withLock { $0.removeValue(forKey: key)?.suppressed }
    }
}
