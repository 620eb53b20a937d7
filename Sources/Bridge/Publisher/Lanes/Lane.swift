internal import SMSBridgeSpool

/// A topic's queue of events: which way the next one goes, and what of the spool is to follow.
///
/// While a lane is open, events go straight to librdkafka. Once one of them is late, or failed, the lane is closed: it
/// and all that follow go to the spool, so that in a lane events are handed to librdkafka in the order accepted. When
/// everything that was handed over has its report, the spool is drained: the rows in the file first, then the newest,
/// which are still in memory. With the last of them handed over the lane is open again, in the same turn of the loop.
struct Lane {
    enum Phase: Equatable {
        case open
        /// Nothing is handed over before this time (nanoseconds of the loop's clock), nor while reports are missing.
        case closed(until: UInt64)
        /// Rows are being handed over.
        case draining
    }

    /// A row that is not handed over yet and still in memory.
    struct Waiting {
        var number: Int64
        var record: SpoolRecord
        /// The event that waits for its place on disk, if it still does.
        var opaque: UInt64
    }

    var phase = Phase.open
    /// Events that librdkafka has and whose report is not in.
    var sent = 0
    var sentBytes = 0
    /// What the spool holds of this lane, as far as this side knows: inserts count when they are submitted.
    var rows: Int64 = 0
    var bytes: Int64 = 0

    /// The newest rows, in order; none of them is handed over.
    private(set) var tail: ArraySlice<Waiting> = []
    private var tailBytes = 0
    /// Rows that came from the file, in order, to be handed over.
    private(set) var fetched: ArraySlice<SpoolRow> = []
    /// The highest number handed over in this drain.
    private var cursor: Int64 = 0
    /// Whether the file may have rows between the cursor and the tail.
    private var mayHaveMore = false
    private(set) var isReading = false
    /// The answer to a read that an older drain has asked for is not this one's.
    private var staleReads = 0

    /// Up to this number every row is handed over alone: a refusal concerns a batch, so a record that was refused for
    /// itself in company is tried by itself before it is condemned.
    private(set) var suspectsEnd: Int64?
    /// The first of them, until a drain begins: then everything that was handed over has its report.
    private var firstRefused: Int64?
    private var backoff = Lane.firstBackoff
    private var isProven = false

    static let firstBackoff: UInt64 = 100_000_000
    static let longestBackoff: UInt64 = 5_000_000_000
    /// Rows handed over before the first of them is acknowledged.
    static let probeWindow = 16
    /// The most rows handed over and not acknowledged during a drain.
    static let longestDrainWindow = 4_000
    /// Rows of a lane kept in memory, in bytes.
    static let tailBound = 2 << 20
    static let readCount = 2_000
    static let readBytes = 1 << 20

    /// Rows, and bytes of them, that are handed over and not acknowledged during a drain; one row always may be.
    private let drainWindow: Int
    private let drainBytes: Int

    init(drainWindow: Int = Lane.longestDrainWindow, drainBytes: Int = .max) {
        self.drainWindow = max(1, min(drainWindow, Self.longestDrainWindow))
        self.drainBytes = drainBytes
    }

    var isOpen: Bool { phase == .open }

    // MARK: - Closing

    mutating func close(now: UInt64, afterFailure isFailure: Bool) {
        if isFailure {
            phase = .closed(until: now &+ backoff)
            backoff = min(backoff * 2, Self.longestBackoff)
        } else if isOpen || phase == .draining {
            phase = .closed(until: now)
        }
        fetched = []
        if isReading {
            isReading = false
            staleReads += 1
        }
        isProven = false
    }

    mutating func suspect(_ number: Int64) {
        firstRefused = min(firstRefused ?? number, number)
        suspectsEnd = max(suspectsEnd ?? 0, number)
    }

    /// Whether an event that was handed over before is delivered now, after one that came before it was refused.
    func hasOvertaken(_ number: Int64) -> Bool { firstRefused.map { number > $0 } ?? false }

    /// The events' numbers have changed. Nothing of the spool is handed over yet.
    mutating func renumber(by offset: Int64) {
        suspectsEnd = suspectsEnd.map { $0 + offset }
        firstRefused = firstRefused.map { $0 + offset }
    }

    /// Whether a row that fails now was handed over alone.
    func wasAlone(_ number: Int64) -> Bool {
        phase == .draining && number <= suspectsEnd ?? 0
    }

    /// The row is delivered, or condemned.
    mutating func settled(_ number: Int64) {
        if let end = suspectsEnd, number >= end { suspectsEnd = nil }
    }

    /// Kafka takes events of this lane.
    mutating func succeeded() {
        backoff = Self.firstBackoff
        isProven = true
    }

    // MARK: - The tail

    mutating func append(_ waiting: Waiting) {
        tail.append(waiting)
        tailBytes += waiting.record.size
        while tailBytes > Self.tailBound, tail.count > 1 {
            // It is on its way to the file, or there; reads pass through the same queue, so a later one will find it.
            tailBytes -= tail.removeFirst().record.size
            mayHaveMore = true
        }
    }

    /// The event was not stored: it is not in this queue any more.
    mutating func forget(_ number: Int64) {
        guard let index = tail.lastIndex(where: { $0.number == number }) else { return }
        tailBytes -= tail[index].record.size
        tail.remove(at: index)
    }

    // MARK: - Draining

    enum Step {
        /// There is nothing to do before a report, a read or a time.
        case wait
        case read(after: Int64)
        case sendRow(SpoolRow)
        case sendWaiting(Waiting)
        /// Everything is handed over.
        case reopened
    }

    /// Whether draining may begin.
    func mayDrain(now: UInt64) -> Bool {
        if case .closed(let until) = phase { return sent == 0 && now >= until }
        return false
    }

    /// Begins at the first row of the file.
    mutating func beginDrain() {
        phase = .draining
        cursor = 0
        mayHaveMore = true
        isProven = false
        firstRefused = nil
    }

    private var window: Int {
        if let suspectsEnd, cursor < suspectsEnd { return 1 }
        return isProven ? drainWindow : min(drainWindow, Self.probeWindow)
    }

    /// What to do next in a drain; asked until it says `wait` or `reopened`.
    mutating func nextStep() -> Step {
        guard phase == .draining else { return .wait }
        // The last suspect is alone, too: what follows it waits for its report.
        guard sent < window, sent == 0 || sentBytes < drainBytes, suspectsEnd == nil || sent == 0 else { return .wait }
        if let row = fetched.first {
            fetched = fetched.dropFirst()
            cursor = row.number
            return .sendRow(row)
        }
        if isReading { return .wait }
        if mayHaveMore {
            isReading = true
            // Rows that leave the memory from now on may be too late for this read.
            mayHaveMore = false
            return .read(after: cursor)
        }
        if let waiting = tail.first {
            tail = tail.dropFirst()
            tailBytes -= waiting.record.size
            cursor = waiting.number
            return .sendWaiting(waiting)
        }
        phase = .open
        return .reopened
    }

    /// The answer to a read.
    mutating func received(_ rows: [SpoolRow]) {
        if staleReads > 0 {
            staleReads -= 1
            return
        }
        guard isReading else { return }
        isReading = false
        // What is in memory, too, comes from there.
        let limit = tail.first?.number ?? .max
        let wanted = rows.filter { $0.number > cursor && $0.number < limit }
        if !wanted.isEmpty, wanted.count == rows.count { mayHaveMore = true }
        fetched = wanted[...]
    }
}
