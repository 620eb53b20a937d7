internal import Threads

/// Who is next: the state of everything that has been read and is not done. Pure, without clock and threads.
///
/// A record joins the lane of its key. Lanes whose first record may be handled stand in one queue, from which workers
/// take; a lane stands there once, so its records are handled one after the other, whatever the number of workers. A
/// record that is tried again later holds back its own lane and nothing else, and keeps no worker.
struct DispatchCore {
    struct Limits: Sendable {
        /// Handlers that run at once.
        var concurrency: Int
        /// Records that are held at once, running ones included.
        var maxRecords: Int
        var maxBytes: Int
        /// Offsets between a partition's watermark and its last record.
        var maxSpan: Int64
    }

    /// What the caller has to do once it has let go of the state.
    struct Signals {
        /// A worker to be started under this number.
        var startsWorker: UInt64?
        /// The polling thread has something to look at.
        var wakesLoop = false

        mutating func add(_ other: Signals) {
            startsWorker = startsWorker ?? other.startsWorker
            wakesLoop = wakesLoop || other.wakesLoop
        }
    }

    private struct Partition {
        let topic: String
        let number: Int32
        var offsets = OffsetTracker()
        var lanes: [UInt64: Int] = [:]
        var running = 0
        /// Nothing more of it is begun: it is about to be given up.
        var isFenced = false
    }

    /// A place for a partition; the generation tells who has it.
    private struct PartitionSlot {
        var partition: Partition?
        var generation: UInt32 = 0
    }

    private struct Slot {
        var lane: Lane?
        var generation: UInt32 = 0
    }

    private struct Worker {
        var task: Task<Void, Never>?
        var assignment: AssignmentID?
        var isCancelled = false
    }

    private let limits: Limits
    private var partitions: [PartitionSlot] = []
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private var ready = Queue<LaneReference>()
    private var timers = TimerHeap()
    private var workers: [UInt64: Worker] = [:]
    private var nextWorker: UInt64 = 0
    private var isStopped = false
    /// Whether the polling thread waits for room.
    private var isThrottled = false
    private(set) var records = 0
    private(set) var bytes = 0
    private(set) var running = 0

    init(limits: Limits) {
        self.limits = limits
    }

    private subscript(_ assignment: AssignmentID) -> Partition? {
        isOpen(assignment) ? partitions[assignment.index].partition : nil
    }

    // MARK: The polling thread

    mutating func open(topic: String, partition: Int32) -> AssignmentID {
        let index = partitions.firstIndex { $0.partition == nil } ?? partitions.count
        if index == partitions.count { partitions.append(PartitionSlot()) }
        partitions[index].partition = Partition(topic: topic, number: partition)
        return AssignmentID(index: index, generation: partitions[index].generation)
    }

    /// Whether the partition is still assigned so.
    private func isOpen(_ assignment: AssignmentID) -> Bool {
        partitions[assignment.index].generation == assignment.generation
    }

    /// Takes a record in.
    ///
    /// - Returns: false when its partition is given up, or when it had come before.
    @discardableResult
    mutating func add(_ record: ConsumedRecord, to assignment: AssignmentID) -> Bool {
        let place = assignment.index
        guard isOpen(assignment), partitions[place].partition?.isFenced == false,
            partitions[place].partition?.offsets.received(record.offset) == true
        else { return false }
        records += 1
        bytes += record.size
        if let index = partitions[place].partition?.lanes[record.order] {
            slots[index].lane?.append(record)
            return true
        }
        let index = freeSlots.popLast() ?? slots.count
        if index == slots.count { slots.append(Slot()) }
        slots[index].lane = Lane(record, assignment: assignment)
        partitions[place].partition?.lanes[record.order] = index
        ready.append(LaneReference(index: index, generation: slots[index].generation))
        return true
    }

    /// Puts the lanes whose waiting is over back into the queue.
    ///
    /// - Returns: when the next one is due, in the clock of `now`.
    mutating func fireTimers(now: UInt64) -> UInt64? {
        while let reference = timers.pop(until: now) {
            guard slots[reference.index].generation == reference.generation else { continue }
            slots[reference.index].lane?.state = .ready
            ready.append(reference)
        }
        return timers.soonest
    }

    /// A worker to start, if there is something to do and room for one. It starts the others itself.
    mutating func signals() -> Signals {
        guard !ready.isEmpty, workers.count < limits.concurrency, !isStopped else { return Signals() }
        nextWorker += 1
        workers[nextWorker] = Worker()
        return Signals(startsWorker: nextWorker)
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
        for assignment in assignments where isOpen(assignment) {
            partitions[assignment.index].partition?.isFenced = true
        }
    }

    /// Begins nothing more at all.
    mutating func stop() {
        isStopped = true
        for index in partitions.indices { partitions[index].partition?.isFenced = true }
    }

    /// How many records of these partitions are being handled.
    func running(in assignments: [AssignmentID]) -> Int {
        assignments.reduce(0) { $0 + (self[$1]?.running ?? 0) }
    }

    /// The tasks that handle records of these partitions, to be cancelled.
    mutating func cancel(_ assignments: [AssignmentID]) -> [Task<Void, Never>] {
        var tasks: [Task<Void, Never>] = []
        for (id, worker) in workers {
            guard let assignment = worker.assignment, assignments.contains(assignment) else { continue }
            workers[id]?.isCancelled = true
            if let task = worker.task { tasks.append(task) }
        }
        return tasks
    }

    /// Forgets a partition: what of it waits is dropped, what runs is not heard any more.
    mutating func close(_ assignment: AssignmentID) {
        guard let partition = self[assignment] else { return }
        partitions[assignment.index].partition = nil
        partitions[assignment.index].generation &+= 1
        for index in partition.lanes.values {
            slots[index].lane?.forEach {
                records -= 1
                bytes -= $0.size
            }
            free(index)
        }
    }

    /// What may be committed of a partition; nil before its first record.
    func watermark(of assignment: AssignmentID) -> Int64? { self[assignment]?.offsets.watermark }

    func span(of assignment: AssignmentID) -> Int64 { self[assignment]?.offsets.span ?? 0 }

    func isSpanFull(of assignment: AssignmentID) -> Bool { span(of: assignment) >= limits.maxSpan }

    // MARK: The workers

    /// The task of a worker that has been started. It may have ended already.
    ///
    /// - Returns: whether it is to be cancelled at once.
    mutating func started(_ worker: UInt64, _ task: Task<Void, Never>) -> Bool {
        workers[worker]?.task = task
        return workers[worker]?.isCancelled == true
    }

    /// The next piece of work for a worker; nil ends the worker.
    mutating func next(for worker: UInt64) -> (work: Work, signals: Signals)? {
        guard workers[worker]?.isCancelled == false, !isStopped else {
            workers[worker] = nil
            return nil
        }
        while let reference = ready.popFirst() {
            guard slots[reference.index].generation == reference.generation, let lane = slots[reference.index].lane,
                let record = lane.first
            else { continue }
            guard partitions[lane.assignment.index].partition?.isFenced == false else {
                // It is dropped together with its partition.
                slots[reference.index].lane?.state = .waiting
                continue
            }
            slots[reference.index].lane?.state = .running
            partitions[lane.assignment.index].partition?.running += 1
            running += 1
            workers[worker]?.assignment = lane.assignment
            let work = Work(
                record: record, attempt: lane.attempt, failure: lane.failure, assignment: lane.assignment,
                lane: reference)
            return (work, signals())
        }
        workers[worker] = nil
        return nil
    }

    /// What became of a piece of work.
    mutating func finish(_ work: Work, by worker: UInt64, _ result: WorkResult, now: UInt64) -> Signals {
        var signals = Signals()
        running -= 1
        workers[worker]?.assignment = nil
        // Of an assignment that is no more nothing is known, and nothing is counted.
        guard isOpen(work.assignment) else { return signals }
        let place = work.assignment.index
        partitions[place].partition?.running -= 1
        if partitions[place].partition?.isFenced == true, partitions[place].partition?.running == 0 {
            signals.wakesLoop = true
        }
        let index = work.lane.index
        switch result {
        case .abandoned: slots[index].lane?.state = .waiting
        case .later(let later):
            slots[index].lane?.state = .waiting
            slots[index].lane?.failure = later.failure
            if later.countsAttempt { slots[index].lane?.attempt += 1 }
            let (deadline, overflow) = now.addingReportingOverflow(later.delay.nanoseconds)
            let soonest = timers.soonest ?? .max
            timers.insert(work.lane, at: overflow ? .max : deadline)
            if deadline < soonest { signals.wakesLoop = true }
        case .done:
            records -= 1
            bytes -= work.record.size
            if finishOffset(work.record.offset, in: place) { signals.wakesLoop = true }
            if isThrottled, hasRoom {
                isThrottled = false
                signals.wakesLoop = true
            }
            if slots[index].lane?.advance() == true {
                slots[index].lane?.state = .ready
                ready.append(work.lane)
            } else {
                partitions[place].partition?.lanes[work.record.order] = nil
                free(index)
            }
        }
        return signals
    }

    /// - Returns: whether this makes room in the span.
    private mutating func finishOffset(_ offset: Int64, in place: Int) -> Bool {
        let before = partitions[place].partition?.offsets.span ?? 0
        partitions[place].partition?.offsets.finished(offset)
        return before >= limits.maxSpan && partitions[place].partition?.offsets.span ?? 0 < limits.maxSpan
    }

    private mutating func free(_ index: Int) {
        slots[index].lane = nil
        slots[index].generation &+= 1
        freeSlots.append(index)
    }
}
