internal import SMSBridgeSpool

/// A topic's queue of events: where the next one goes, and which of the spool's rows follow.
///
/// A direct queue hands events straight to librdkafka. Once one of them is late, or failed, it is spooling: that event and
/// all that follow go to the spool, so that events are handed to librdkafka in the order accepted. When everything that
/// was handed over has its report, the queue is draining: the rows in the file first, then the newest, which are still in
/// memory. With the last of them handed over it is direct again, in the same turn of the loop.
///
/// While Kafka acknowledges, callers do not depend on the spool's disk. A queue with no rows in the file needs no read to
/// become direct. Where the file has rows that cannot be read or followed in time, the queue bypasses them: what is in
/// memory is handed over, new events go straight to librdkafka, and the rows in the file, the backlog, follow beside them
/// as the disk allows. That gives up the order between the backlog and what bypassed it, and nothing else.
struct TopicQueue {
    enum State: Equatable {
        case direct
        /// Nothing is handed over before this time (nanoseconds of the loop's clock), nor while reports are missing.
        case spooling(until: UInt64)
        /// Rows are being handed over.
        case draining
    }

    /// An event that is not handed over yet and still in memory.
    struct Waiting {
        var number: Int64
        var record: SpoolRecord
        /// The event on its way to the disk, or that has no other place than this; `.max` for a row that is on disk.
        var opaque: UInt64
        /// Whether the spool counts it as a row of its own.
        var isRow: Bool
        /// Whether it is on disk, so that this copy may go.
        var isDurable: Bool
        /// Whether the file may have rows between this one and the next in memory.
        var isBeforeRows = false
    }

    /// A read of the spool's file.
    enum Read: Equatable {
        case idle
        case running(since: UInt64)
        /// `since`: when the first of these reads began.
        case failed(since: UInt64, retryAt: UInt64)
    }

    private(set) var state = State.direct
    /// Events that librdkafka has and whose report is not in.
    var sent = 0
    var sentBytes = 0
    /// What the spool holds of this topic, as far as this side knows: inserts count when they are submitted.
    var rows: Int64 = 0
    var bytes: Int64 = 0

    /// Events that librdkafka has and that are rows, too.
    var sentRows: Int64 = 0

    /// The newest events, in order; none of them is handed over.
    private(set) var tail: ArraySlice<Waiting> = []
    private var tailBytes = 0
    private var tailRows: Int64 = 0
    /// Rows that came from the file, in order, to be handed over.
    private(set) var fetched: ArraySlice<SpoolRow> = []
    /// The highest number handed over in this drain.
    private var cursor: Int64 = 0
    /// Whether the file may have rows between the cursor and the tail, or the backlog's end.
    private var mayHaveMore = false
    private(set) var read = Read.idle
    /// Rows were to be moved out of this queue, and may still be in it: the next drain looks.
    var mayHaveLeftRows = false
    /// Reads of an earlier drain whose answer is still to come, and is not this one's.
    private var staleReads = 0
    private var readBackoff = TopicQueue.firstBackoff

    /// Rows in the file below this number were bypassed; nil without a backlog. Only a direct queue has one.
    private(set) var backlogEnd: Int64?
    /// Rows below that which bypassed the others, because memory had them.
    private var handedOver: Set<Int64> = []
    /// Rows of the backlog that are handed over and not acknowledged.
    var backlogSent = 0

    /// When to look whether a caller has waited for the spool as long as it can; nil where none can have.
    var nextLook: UInt64?
    /// Rows acknowledged since the queue was last direct, or since its backlog was bypassed.
    var drained = 0
    /// When that count began, monotonic nanoseconds; nil at the start.
    var drainedSince: UInt64?

    /// Up to this number rows are handed over individually: a rejection concerns a batch, so a record that was rejected
    /// in company is tried by itself before it is quarantined.
    private(set) var suspectsEnd: Int64?
    /// Whether suspects are handed over one after the other.
    private var triesInOrder = false
    /// The first of them, until a drain begins: then everything that was handed over has its report.
    private var firstRejected: Int64?
    /// A direct queue hands events over individually for a while after it has met rejected ones.
    private var isIndividual = false
    private var individualUntil: UInt64 = 0
    private var backoff = TopicQueue.firstBackoff
    private var isProven = false

    static let firstBackoff: UInt64 = 100_000_000
    static let longestBackoff: UInt64 = 5_000_000_000
    /// Rows handed over before the first of them is acknowledged.
    static let probeWindow = 16
    /// Suspects handed over and not acknowledged. Each is a batch of its own, so this bounds requests.
    static let suspectWindow = 32
    /// Events after one that was rejected by itself that are suspects, too.
    static let suspectReach: Int64 = 1_000
    /// How long after such a rejection a direct queue hands events over individually, in nanoseconds.
    static let individualTime: UInt64 = 2_000_000_000
    /// The most rows handed over and not acknowledged during a drain.
    static let longestDrainWindow = 4_000
    /// Rows that are on disk and kept in memory, in bytes.
    static let tailBound = 2 << 20
    static let readCount = 2_000
    static let readBytes = 1 << 20

    /// Rows, and bytes of them, that are handed over and not acknowledged during a drain; one row always may be.
    private let drainWindow: Int
    private let drainBytes: Int

    init(drainWindow: Int = TopicQueue.longestDrainWindow, drainBytes: Int = .max) {
        self.drainWindow = max(1, min(drainWindow, Self.longestDrainWindow))
        self.drainBytes = drainBytes
    }

    var isDirect: Bool { state == .direct }
    var isBypassing: Bool { backlogEnd != nil }
    /// Whether it is direct and nothing else: no backlog, no rejected record, no batches of one.
    var isPlain: Bool { state == .direct && backlogEnd == nil && firstRejected == nil && !isIndividual }

    // MARK: - Spooling

    /// Why a queue stops being direct, or a drain ends early.
    enum Interruption {
        /// An event is late, or the queue is at its bound.
        case late
        /// A delivery failed for a reason that may pass: the next attempt waits.
        case failed
        /// A record was rejected, which proves that the broker answers: no reason to wait.
        case rejected
    }

    mutating func interrupt(_ interruption: Interruption, now: UInt64) {
        switch interruption {
        case .failed:
            state = .spooling(until: now &+ backoff)
            backoff = min(backoff * 2, Self.longestBackoff)
        case .rejected: state = .spooling(until: now)
        case .late: if isDirect || state == .draining { state = .spooling(until: now) }
        }
        backlogEnd = nil
        handedOver = []
        backlogSent = 0
        isProven = false
        isIndividual = false
        forgetRead()
    }

    private mutating func forgetRead() {
        fetched = []
        if case .running = read {
            staleReads += 1
            read = .idle
        }
    }

    /// - Parameter inOrder: whether it is to be delivered all the same, so that none may overtake it while it is tried twice.
    mutating func suspect(_ number: Int64, inOrder: Bool = false) {
        triesInOrder = triesInOrder || inOrder
        firstRejected = min(firstRejected ?? number, number)
        suspectsEnd = max(suspectsEnd ?? 0, number)
    }

    /// A record was rejected by itself: those near it may be like it, and each rejection in company costs the producer a
    /// new epoch, which all topics wait for.
    mutating func rejectedIndividually(_ number: Int64, now: UInt64) {
        if !triesInOrder { individualUntil = now &+ Self.individualTime }
        if state == .draining { suspectsEnd = max(suspectsEnd ?? 0, number + Self.suspectReach) }
    }

    /// Whether an event with this number is to be handed over in a batch of its own.
    mutating func sendsIndividually(_ number: Int64, now: UInt64) -> Bool {
        guard isDirect else { return suspectsEnd.map { number <= $0 } ?? false }
        // Back to shared batches when nothing of the other way is outstanding.
        if isIndividual, now >= individualUntil, sent == 0 { isIndividual = false }
        return isIndividual
    }

    /// Whether an event that was handed over before is delivered now, after one that came before it was rejected.
    func hasOvertaken(_ number: Int64) -> Bool { firstRejected.map { number > $0 } ?? false }

    /// The events' numbers have changed. Nothing of the spool is handed over yet.
    mutating func renumber(by offset: Int64) {
        suspectsEnd = suspectsEnd.map { $0 + offset }
        firstRejected = firstRejected.map { $0 + offset }
        for index in tail.indices { tail[index].number += offset }
    }

    /// Kafka takes events of this topic.
    mutating func succeeded() {
        backoff = Self.firstBackoff
        isProven = true
    }

    // MARK: - The tail

    mutating func append(_ waiting: Waiting) {
        tail.append(waiting)
        count(waiting, 1)
        trim()
    }

    /// Puts an event that was handed over, and failed, where it belongs: before those that came later.
    mutating func putBack(_ waiting: Waiting) {
        let index = position(of: waiting.number)
        guard index == tail.endIndex || tail[index].number != waiting.number else { return }
        var waiting = waiting
        // Rows that followed it may have left the memory, or have been handed over with it.
        waiting.isBeforeRows = hasUnseenRows(beside: waiting.isRow ? 1 : 0)
        tail.insert(waiting, at: index)
        count(waiting, 1)
    }

    /// A row that was handed over, and failed, is only in the file now.
    mutating func leaveInFile(_ number: Int64) {
        let index = position(of: number)
        if index > tail.startIndex { tail[index - 1].isBeforeRows = true }
    }

    /// Whether the file has rows that neither memory nor librdkafka has.
    private func hasUnseenRows(beside others: Int64 = 0) -> Bool {
        mayHaveLeftRows || rows > tailRows + sentRows + others
    }

    /// The event is not in this queue any more.
    mutating func forget(_ number: Int64) {
        let index = position(of: number)
        guard index < tail.endIndex, tail[index].number == number else { return }
        count(tail.remove(at: index), -1)
    }

    /// What the spool says of an event in the tail.
    mutating func mark(_ number: Int64, isRow: Bool, isDurable: Bool) {
        let index = position(of: number)
        guard index < tail.endIndex, tail[index].number == number else { return }
        count(tail[index], -1)
        tail[index].isRow = isRow
        tail[index].isDurable = isDurable
        count(tail[index], 1)
        trim()
    }

    func contains(_ number: Int64) -> Bool {
        let index = position(of: number)
        return index < tail.endIndex && tail[index].number == number
    }

    private mutating func count(_ waiting: Waiting, _ sign: Int) {
        tailBytes += sign * waiting.record.size
        if waiting.isRow { tailRows += Int64(sign) }
    }

    /// Lets the oldest go that are on disk: a later read finds them. What has no other place stays.
    private mutating func trim() {
        while tailBytes > Self.tailBound, tail.count > 1, let first = tail.first, first.isDurable {
            tail = tail.dropFirst()
            count(first, -1)
            mayHaveMore = true
        }
    }

    /// The first position whose number is not below `number`.
    private func position(of number: Int64) -> Int {
        var low = tail.startIndex
        var high = tail.endIndex
        while low < high {
            let middle = low + (high - low) / 2
            if tail[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func takeFirst() -> Waiting? {
        guard let waiting = tail.first else { return nil }
        tail = tail.dropFirst()
        count(waiting, -1)
        return waiting
    }

    // MARK: - Draining

    enum Step {
        /// There is nothing to do before a report, a read or a time.
        case wait
        case read(after: Int64)
        case sendRow(SpoolRow, isBacklog: Bool)
        case sendWaiting(Waiting)
        /// Everything is handed over.
        case becameDirect
        /// The backlog is handed over, too.
        case backlogEnded
    }

    /// Whether draining may begin.
    func mayDrain(now: UInt64) -> Bool {
        if case .spooling(let until) = state { return sent == 0 && now >= until }
        return false
    }

    /// Begins at the first row of the file, if it has any that are not in memory.
    mutating func beginDrain() {
        state = .draining
        cursor = 0
        mayHaveMore = hasUnseenRows()
        isProven = false
        firstRejected = nil
    }

    private var window: Int {
        if let suspectsEnd, cursor < suspectsEnd { return triesInOrder ? 1 : Self.suspectWindow }
        return isProven ? drainWindow : min(drainWindow, Self.probeWindow)
    }

    /// What to do next; asked until it says `wait`, or is direct and has no backlog.
    mutating func nextStep(now: UInt64) -> Step {
        if backlogEnd != nil { return nextOfBacklog(now: now) }
        guard state == .draining else { return .wait }
        if let end = suspectsEnd, cursor >= end {
            // What follows the last suspect goes another way, and must not overtake it.
            guard sent == 0 else { return .wait }
            endSuspects()
        }
        guard sent < window, sent == 0 || sentBytes < drainBytes else { return .wait }
        if let step = nextOfFile(now: now) { return step }
        if let waiting = takeFirst() {
            cursor = waiting.number
            mayHaveMore = waiting.isBeforeRows
            return .sendWaiting(waiting)
        }
        if suspectsEnd != nil {
            guard sent == 0 else { return .wait }
            endSuspects()
        }
        // The last row that was handed over individually has its report: those that come go the same way for a while.
        isIndividual = sent == 0 && now < individualUntil
        state = .direct
        return .becameDirect
    }

    /// Whether the next row has to be handed over individually.
    var isNextIndividual: Bool { state == .draining && suspectsEnd.map { cursor < $0 } ?? false }

    private mutating func endSuspects() {
        suspectsEnd = nil
        triesInOrder = false
    }

    /// What the file has next: a row that was read, or a read; nil where it has no more.
    private mutating func nextOfFile(now: UInt64) -> Step? {
        if let row = fetched.first {
            fetched = fetched.dropFirst()
            cursor = row.number
            return .sendRow(row, isBacklog: isBypassing)
        }
        var since = now
        switch read {
        case .running: return .wait
        case .failed(_, let retryAt) where now < retryAt: return .wait
        // Still the same trouble until a read succeeds.
        case .failed(let first, _): since = first
        case .idle: break
        }
        guard mayHaveMore else { return nil }
        read = .running(since: since)
        // Rows that leave the memory from now on may be too late for this read.
        mayHaveMore = false
        return .read(after: cursor)
    }

    /// The answer to a read.
    mutating func received(_ rows: [SpoolRow]) {
        guard takeAnswer() else { return }
        read = .idle
        readBackoff = Self.firstBackoff
        // What is in memory, too, comes from there; what bypassed the backlog has been handed over.
        let limit = backlogEnd ?? tail.first?.number ?? .max
        let wanted = rows.filter { $0.number > cursor && $0.number < limit && !handedOver.contains($0.number) }
        if rows.isEmpty { mayHaveLeftRows = false }
        if isBypassing {
            mayHaveMore = rows.last.map { $0.number < limit } ?? false
            if wanted.isEmpty, let last = rows.last { cursor = last.number }
        } else if !wanted.isEmpty, wanted.count == rows.count {
            mayHaveMore = true
        }
        fetched = wanted[...]
    }

    /// The rows could not be read. They are asked for again, ever later, or when the file is opened again.
    mutating func readFailed(now: UInt64) {
        guard case .running(let since) = read, takeAnswer() else {
            _ = takeAnswer()
            return
        }
        read = .failed(since: since, retryAt: now &+ readBackoff)
        readBackoff = min(readBackoff * 2, Self.longestBackoff)
        mayHaveMore = true
    }

    /// The file is open again.
    mutating func retryRead() {
        if case .failed(let since, _) = read { read = .failed(since: since, retryAt: 0) }
    }

    /// - Returns: whether the answer that has come is that of the read under way.
    private mutating func takeAnswer() -> Bool {
        if staleReads > 0 {
            staleReads -= 1
            return false
        }
        if case .running = read { return true }
        return false
    }

    // MARK: - Bypassing the backlog

    /// Since when the rows of the file cannot be read though nothing else is waited for; nil where they are, or are not needed.
    var readBlockedSince: UInt64? {
        guard state == .draining else { return nil }
        switch read {
        case .running(let since), .failed(let since, _): return since
        case .idle: return nil
        }
    }

    /// What is in memory is to be handed over now, and the rows of the file that were to come before it become the backlog.
    ///
    /// - Parameter nextNumber: what the next event gets.
    /// - Returns: what is to be handed over, in order.
    mutating func bypass(nextNumber: Int64) -> [Waiting] {
        let all = Array(tail)
        let hasBacklog = mayHaveMore || !fetched.isEmpty || read != .idle || all.contains { $0.isBeforeRows }
        tail = []
        tailBytes = 0
        tailRows = 0
        state = .direct
        endSuspects()
        if hasBacklog {
            backlogEnd = nextNumber
            handedOver = Set(all.filter(\.isRow).map(\.number))
            // What a read under way skips for the sake of the tail is read again.
            if case .idle = read { mayHaveMore = true }
        }
        backlogSent = 0
        drained = 0
        return all
    }

    private mutating func nextOfBacklog(now: UInt64) -> Step {
        // Half of what may be on its way is left to the events that come now.
        guard backlogSent < (isProven ? max(1, drainWindow / 2) : Self.probeWindow) else { return .wait }
        if let step = nextOfFile(now: now) { return step }
        guard backlogSent == 0 else { return .wait }
        backlogEnd = nil
        handedOver = []
        return .backlogEnded
    }

    /// What a drain that ends now has done.
    func drainResult(_ now: UInt64) -> PublisherCore.DrainResult {
        .init(events: drained, nanoseconds: drainedSince.map { now &- $0 })
    }

    /// When something is to be done that no report, read or event brings about; nil for nothing.
    func nextTime(now: UInt64) -> UInt64? {
        if case .spooling(let until) = state { return sent == 0 ? max(until, now &+ 1_000_000) : nil }
        if case .failed(_, let retryAt) = read, state == .draining || isBypassing {
            return max(retryAt, now &+ 1_000_000)
        }
        return nil
    }
}
