internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

/// Remembers processed events in this process's memory: repeats that come within its retention and capacity are handled
/// once, by this process. After a restart, and for the other members of the group, it knows nothing;
/// ``ProcessedEvents`` in a database knows.
public final class InMemoryProcessedEvents: ProcessedEvents {
    private let state: Mutex<State>
    private let now: @Sendable () -> UInt64

    /// - Parameters:
    ///   - capacity: How many processed events are remembered, at least 1; the oldest are forgotten first. One takes
    ///     some 80 to 170 bytes.
    ///   - retention: For how long they are remembered.
    public convenience init(capacity: Int = 100_000, retention: Duration = .seconds(24 * 3_600)) {
        self.init(capacity: capacity, retention: retention, now: monotonicNow)
    }

    /// - Parameter now: monotonic nanoseconds.
    package init(capacity: Int, retention: Duration, now: @escaping @Sendable () -> UInt64) {
        state = Mutex(State(capacity: max(1, capacity), retention: retention.nanoseconds))
        self.now = now
    }

    /// See ``ProcessedEvents/claim(_:expiry:)``.
    public func claim(_ key: EventClaimKey, expiry: Duration) async throws -> EventClaimOutcome {
        state.withLock { $0.claim(key, expiry: expiry, now: now()) }
    }

    /// See ``ProcessedEvents/complete(_:)``.
    @discardableResult
    public func complete(_ claim: EventClaim) async throws -> Bool {
        state.withLock { $0.complete(claim, now: now()) }
    }

    /// See ``ProcessedEvents/release(_:)``.
    public func release(_ claim: EventClaim) async throws {
        state.withLock { $0.release(claim) }
    }

    private struct State {
        let capacity: Int
        let retention: UInt64
        private var runs: [Run: UInt32] = [:]
        private var processing: [Entry: (token: UInt64, deadline: UInt64)] = [:]
        private var processed: Set<Entry> = []
        private var order = Queue<(entry: Entry, time: UInt64)>()
        private var nextToken: UInt64 = 0
        private var heldAtSweep = 0

        private struct Run: Hashable {
            let group: [UInt8]
            let run: [UInt8]
        }

        /// A key in few bytes, and never two keys as one: what is no usual id is kept as it is, byte for byte, for
        /// texts may be equal to Swift that are not the same.
        private struct Entry: Hashable {
            let run: UInt32
            let id: ID
        }

        private enum ID: Hashable {
            case digits(UInt64, UInt64)
            case text([UInt8])

            init(_ text: String) {
                let digits = text.utf8
                guard digits.count == 32 else {
                    self = .text(Array(text.utf8))
                    return
                }
                var parts: (UInt64, UInt64) = (0, 0)
                for (index, byte) in digits.enumerated() {
                    let value: UInt8
                    switch byte {
                    case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte - UInt8(ascii: "0")
                    case UInt8(ascii: "a")...UInt8(ascii: "f"): value = byte - UInt8(ascii: "a") + 10
                    default:
                        self = .text(Array(text.utf8))
                        return
                    }
                    if index < 16 {
                        parts.0 = parts.0 << 4 | UInt64(value)
                    } else {
                        parts.1 = parts.1 << 4 | UInt64(value)
                    }
                }
                self = .digits(parts.0, parts.1)
            }
        }

        init(capacity: Int, retention: UInt64) {
            self.capacity = capacity
            self.retention = retention
        }

        private mutating func entry(_ key: EventClaimKey) -> Entry {
            let run = Run(group: Array(key.group.utf8), run: Array(key.run.utf8))
            let number = runs[run] ?? UInt32(runs.count)
            runs[run] = number
            return Entry(run: number, id: ID(key.eventID))
        }

        mutating func claim(_ key: EventClaimKey, expiry: Duration, now: UInt64) -> EventClaimOutcome {
            forget(now: now)
            let entry = entry(key)
            if processed.contains(entry) { return .processed }
            if let held = processing[entry], held.deadline > now {
                return .processing(remaining: .nanoseconds(Int64(clamping: held.deadline - now)))
            }
            nextToken += 1
            let (deadline, overflow) = now.addingReportingOverflow(expiry.nanoseconds)
            processing[entry] = (nextToken, overflow ? .max : deadline)
            return .claimed(EventClaim(key: key, token: nextToken))
        }

        mutating func complete(_ claim: EventClaim, now: UInt64) -> Bool {
            let entry = entry(claim.key)
            // An expired claim is still valid until another owner takes it.
            guard processing[entry]?.token == claim.token else { return false }
            processing[entry] = nil
            processed.insert(entry)
            order.append((entry, now))
            forget(now: now)
            return true
        }

        mutating func release(_ claim: EventClaim) {
            let entry = entry(claim.key)
            if processing[entry]?.token == claim.token { processing[entry] = nil }
        }

        private mutating func forget(now: UInt64) {
            // Abandoned claims: few, and looked for when they might have become many.
            if processing.count > 2 * max(1_000, heldAtSweep) {
                processing = processing.filter { $0.value.deadline > now }
                heldAtSweep = processing.count
            }
            while let oldest = order.first, order.count > capacity || now - oldest.time > retention {
                processed.remove(oldest.entry)
                _ = order.popFirst()
            }
        }
    }
}
