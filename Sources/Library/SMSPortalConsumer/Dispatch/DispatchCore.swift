internal import SMSBridgeThreads

/// Who is next: the state of everything that has been read and is not done. Pure, without clock and threads.
///
/// A record joins the lane of its key. Lanes whose first record may be handled stand in one line, from which workers
/// take; a lane stands there once, so its records are handled one after the other, whatever the number of workers. The
/// line is in the order in which the records came: what is done lies close together, and little of it lies above the
/// watermark, to be handled again by whoever gets the partition. A record that is tried again later holds back its own
/// lane and nothing else, and keeps no worker.
struct DispatchCore {
    struct Limits: Sendable {
        /// Handlers that run at once.
        var concurrency: Int
        /// Records that are held at once, running ones included.
        var maxRecords: Int
        var maxBytes: Int
        /// Offsets between a partition's watermark and its last record.
        var maxSpan: Int64
        /// Below so many a partition that was full is read again.
        var spanWithRoom: Int64 { maxSpan - maxSpan / 8 }
    }

    /// A place for an assigned partition; the generation tells which one has it.
    private struct Place {
        var generation: UInt32 = 0
        var isOpen = false
        var offsets = OffsetTracker()
        var running = 0
        /// Nothing more of it is begun: it is about to be given up.
        var isFenced = false
    }

    let limits: Limits
    private var places: [Place] = []
    private var lanes: LaneTable
    private var ready = LaneLine()
    private var nextPlace: UInt64 = 0
    private var timers = LaneHeap()
    private var isStopped = false
    /// Whether the polling thread waits for room.
    private var isThrottled = false
    private var spansHaveChanged = false
    private(set) var records = 0
    private(set) var bytes = 0
    private(set) var running = 0

    init(limits: Limits) {
        self.limits = limits
        lanes = LaneTable(capacity: limits.maxRecords)
    }

    // MARK: The polling thread

    /// A partition is assigned to this member: from now on, records of it may be added.
    mutating func open() -> AssignmentID {
        let index = places.firstIndex { !$0.isOpen } ?? places.count
        if index == places.count { places.append(Place()) }
        places[index].isOpen = true
        return AssignmentID(index: index, generation: places[index].generation)
    }

    /// Whether the partition is still assigned so.
    private func isOpen(_ assignment: AssignmentID) -> Bool {
        places[assignment.index].generation == assignment.generation
    }

    /// Takes a record in.
    ///
    /// - Returns: false when its partition is given up, or when it had come before.
    @discardableResult
    mutating func add(_ record: ConsumedRecord, to assignment: AssignmentID) -> Bool {
        guard isOpen(assignment), !places[assignment.index].isFenced,
            places[assignment.index].offsets.received(record.offset)
        else { return false }
        if places[assignment.index].offsets.span >= limits.maxSpan { spansHaveChanged = true }
        records += 1
        bytes += record.size
        nextPlace += 1
        if let lane = lanes.append(record, place: nextPlace, to: assignment) { ready.insert(lane, at: nextPlace) }
        return true
    }

    /// What lies below this offset and was not added is not wanted.
    mutating func pass(_ offset: Int64, of assignment: AssignmentID) {
        guard isOpen(assignment), !places[assignment.index].isFenced else { return }
        places[assignment.index].offsets.passed(offset)
    }

    /// Puts the lanes whose waiting is over back into the queue.
    ///
    /// - Returns: when the next one is due, in the clock of `now`.
    mutating func fireTimers(now: UInt64) -> UInt64? {
        while let lane = timers.pop(until: now) {
            guard lanes.isCurrent(lane) else { continue }
            lanes[lane].state = .ready
            ready.insert(lane, at: lanes[lane].place)
        }
        return timers.soonest
    }

    /// Where the polling thread stands: what it needs to know between two polls, in one look.
    struct Standing {
        /// When the next lane goes on, in the clock of whoever asked.
        var nextTimer: UInt64?
        var isFull: Bool
        /// Whether a partition's span has become full, or has got room, since this was asked last.
        var spansHaveChanged: Bool
    }

    mutating func standing(now: UInt64) -> Standing {
        defer { spansHaveChanged = false }
        return Standing(nextTimer: fireTimers(now: now), isFull: isFull, spansHaveChanged: spansHaveChanged)
    }

    var isFull: Bool { records >= limits.maxRecords || bytes >= limits.maxBytes }
    /// Half empty again: stopping and starting to fetch costs too much to do it for a record.
    private var hasRoom: Bool { records <= limits.maxRecords / 2 && bytes <= limits.maxBytes / 2 }

    /// The polling thread reads no more until it is woken because there is room again.
    ///
    /// - Returns: false when there is room already.
    mutating func throttle() -> Bool {
        isThrottled = !hasRoom
        return isThrottled
    }

    /// Begins nothing more of these partitions.
    mutating func fence(_ assignments: [AssignmentID]) {
        for assignment in assignments where isOpen(assignment) { places[assignment.index].isFenced = true }
    }

    /// Begins nothing more at all.
    mutating func stop() {
        isStopped = true
        for index in places.indices { places[index].isFenced = true }
    }

    /// How many records of these partitions are being handled.
    func running(in assignments: [AssignmentID]) -> Int {
        assignments.reduce(0) { $0 + (isOpen($1) ? places[$1.index].running : 0) }
    }

    /// Forgets a partition: what of it waits is dropped, what runs is not heard any more.
    mutating func close(_ assignment: AssignmentID) {
        guard isOpen(assignment), places[assignment.index].isOpen else { return }
        spansHaveChanged = true
        places[assignment.index] = Place(generation: assignment.generation &+ 1)
        lanes.removeAll(of: assignment) {
            records -= 1
            bytes -= $0.size
        }
    }

    /// What may be committed of a partition; nil before its first record.
    func watermark(of assignment: AssignmentID) -> Int64? {
        isOpen(assignment) ? places[assignment.index].offsets.watermark : nil
    }

    /// The offset behind the last record of a partition that came; nil before the first.
    func head(of assignment: AssignmentID) -> Int64? {
        guard isOpen(assignment), places[assignment.index].offsets.watermark != nil else { return nil }
        return places[assignment.index].offsets.head
    }

    func span(of assignment: AssignmentID) -> Int64 {
        isOpen(assignment) ? places[assignment.index].offsets.span : 0
    }

    /// - Parameter wasFull: whether it had been so: then an eighth must become free, for a pause throws away what was
    ///   fetched ahead, and is told.
    func isSpanFull(of assignment: AssignmentID, wasFull: Bool = false) -> Bool {
        span(of: assignment) >= (wasFull ? limits.spanWithRoom : limits.maxSpan)
    }

    // MARK: The workers

    /// Lanes that can go on; some of them may turn out to be gone or fenced.
    var readyCount: Int { ready.count }

    var hasWork: Bool { !ready.isEmpty && !isStopped }

    /// The next piece of work; nil when there is none.
    mutating func next() -> Work? {
        guard !isStopped else { return nil }
        while let lane = ready.popFirst() {
            guard lanes.isCurrent(lane) else { continue }
            let place = lanes[lane].assignment.index
            guard !places[place].isFenced else {
                // It is dropped together with its partition.
                lanes[lane].state = .waiting
                continue
            }
            places[place].running += 1
            running += 1
            return lanes[lane].begin(as: lane)
        }
        return nil
    }

    /// A piece of work that has not been begun after all: it is ready again, unless its partition is being given up.
    mutating func giveBack(_ work: Work) {
        running -= 1
        guard isOpen(work.assignment) else { return }
        places[work.assignment.index].running -= 1
        guard !places[work.assignment.index].isFenced else {
            lanes[work.lane].state = .waiting
            return
        }
        lanes[work.lane].state = .ready
        ready.insert(work.lane, at: lanes[work.lane].place)
    }

    /// What became of a piece of work.
    ///
    /// - Returns: whether the polling thread has something to look at.
    mutating func finish(_ work: Work, _ result: WorkResult, now: UInt64) -> Bool {
        running -= 1
        // Of an assignment that is no more nothing is known, and nothing is counted.
        guard isOpen(work.assignment) else { return false }
        let place = work.assignment.index
        places[place].running -= 1
        var wakesLoop = places[place].isFenced && places[place].running == 0
        switch result {
        case .abandoned: lanes[work.lane].state = .waiting
        case .later(let later):
            lanes[work.lane].wait(later)
            let (deadline, overflow) = now.addingReportingOverflow(later.delay.nanoseconds)
            let soonest = timers.soonest ?? .max
            timers.insert(work.lane, at: overflow ? .max : deadline)
            if deadline < soonest { wakesLoop = true }
        case .done:
            records -= 1
            bytes -= work.record.size
            let wasFull = places[place].offsets.span >= limits.spanWithRoom
            places[place].offsets.finished(work.record.offset)
            if wasFull, places[place].offsets.span < limits.spanWithRoom {
                spansHaveChanged = true
                wakesLoop = true
            }
            if isThrottled, hasRoom {
                isThrottled = false
                wakesLoop = true
            }
            if lanes.advance(work.lane) { ready.insert(work.lane, at: lanes[work.lane].place) }
        }
        return wakesLoop
    }
}
