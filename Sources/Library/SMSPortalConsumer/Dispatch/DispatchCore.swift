internal import SMSBridgeKafka
internal import SMSBridgeThreads

/// Which record is next: the state of everything that has been read and is not done. Without clock and threads.
///
/// A record joins the queue of its key. Keys whose first record may be handled are in the ready queue, from which workers take;
/// a key is there once, so its records are handled one after the other, whatever the number of workers. The ready queue is in
/// the order in which the records came: what is done lies close together, and little of it lies above the watermark. A record
/// that is tried again later holds back its own key and nothing else, and keeps no worker.
///
/// What is held is bounded, and no key may keep the others from being read: when there is no room and nothing to do, the keys
/// that hold the most release their last records (``release()``). The offsets of these are known, the records are read
/// again, in their order, once their keys have come on.
struct DispatchCore: ~Copyable {
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

    /// An assigned partition; the generation tells which one.
    private struct Assignment: ~Copyable {
        var generation: UInt32 = 0
        var isOpen = false
        /// Nothing more of it is begun: it is about to be given up.
        var isFenced = false
        var running = 0
        var offsets = OffsetTracker()
        var topic = ""
        var partition: Int32 = 0
    }

    /// A key of a partition of which records were released.
    private struct Overflow {
        /// No released record of it lies below.
        var lower: Int64
        /// Its last released record.
        var last: Int64
        /// Whether the present pass of reading again takes no more of it: one of its records found no room, or records that
        /// the pass may have gone by were released.
        var isBlocked = true
        /// How many records of the key are held at most, and so how many are read again at once.
        var share: Int32
    }

    private struct OverflowKey: Hashable {
        let hash: UInt64
        let assignment: Int
    }

    let limits: Limits
    private var slots: UnsafeMutablePointer<Slot>
    private var slotCount = 1_024
    /// A stack of free slots.
    private var free: UnsafeMutablePointer<Int32>
    private var freeCount: Int
    /// Slots from here on have never been used.
    private var used = 0
    private var keys = KeyTable()
    private var ready = IndexQueue()
    /// Keys that come back: for their next record, or because they were not begun after all.
    private var back = IndexHeap()
    private var retries = IndexHeap()
    private var assignments: UnsafeMutablePointer<Assignment>
    private var assignmentCount = 0
    private var assignmentCapacity = 64
    private var overflow: [OverflowKey: Overflow] = [:]
    /// The assignment that was read again last.
    private var lastPass = -1
    private var isStopped = false
    /// Whether the polling thread waits for room.
    private var isThrottled = false
    private var spansHaveChanged = false
    private(set) var records = 0
    private(set) var bytes = 0
    private(set) var running = 0
    /// Bytes of all records that have come.
    private(set) var totalBytes: UInt64 = 0
    /// Where the search for old messages goes on.
    private var copyCursor = 0
    /// Records that have been released, in all.
    private(set) var releasedTotal: UInt64 = 0

    init(limits: Limits) {
        self.limits = limits
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: Slot(), count: slotCount)
        free = .allocate(capacity: slotCount)
        freeCount = slotCount
        for index in 0..<slotCount { free[index] = Int32(slotCount - 1 - index) }
        assignments = .allocate(capacity: assignmentCapacity)
    }

    deinit {
        for index in 0..<slotCount where slots[index].state != .free { Self.discard(slots + index) }
        slots.deallocate()
        free.deallocate()
        assignments.deinitialize(count: assignmentCount)
        assignments.deallocate()
    }

    /// Frees what a slot holds on to.
    private static func discard(_ slot: UnsafeMutablePointer<Slot>) {
        if let message = slot.pointee.message { PolledMessage(address: message).destroy() }
        slot.pointee.record?.release()
        slot.pointee.failure?.release()
        slot.pointee.message = nil
        slot.pointee.record = nil
        slot.pointee.failure = nil
    }

    // MARK: Assignments

    /// A partition is assigned to this member: from now on, records of it may be added.
    mutating func open(topic: String = "", partition: Int32 = 0) -> AssignmentID {
        var index = 0
        while index < assignmentCount, assignments[index].isOpen { index += 1 }
        if index == assignmentCount {
            if assignmentCount == assignmentCapacity {
                let larger = UnsafeMutablePointer<Assignment>.allocate(capacity: assignmentCapacity * 2)
                larger.moveInitialize(from: assignments, count: assignmentCount)
                assignments.deallocate()
                assignments = larger
                assignmentCapacity *= 2
            }
            (assignments + index).initialize(to: Assignment())
            assignmentCount += 1
        }
        assignments[index].isOpen = true
        assignments[index].topic = topic
        assignments[index].partition = partition
        return AssignmentID(index: index, generation: assignments[index].generation)
    }

    /// Whether the partition is still assigned so.
    @inline(__always)
    private func isOpen(_ assignment: AssignmentID) -> Bool {
        assignments[assignment.index].generation == assignment.generation
    }

    /// What lies below this offset and was not added is not wanted.
    mutating func pass(_ offset: Int64, of assignment: AssignmentID) {
        guard isOpen(assignment), !assignments[assignment.index].isFenced else { return }
        assignments[assignment.index].offsets.passed(offset)
    }

    /// Begins nothing more of these partitions.
    mutating func fence(_ given: [AssignmentID]) {
        for assignment in given where isOpen(assignment) { assignments[assignment.index].isFenced = true }
    }

    /// Begins nothing more at all.
    mutating func stop() {
        isStopped = true
        for index in 0..<assignmentCount { assignments[index].isFenced = true }
    }

    /// How many records of these partitions are being handled.
    func running(in given: [AssignmentID]) -> Int {
        given.reduce(0) { $0 + (isOpen($1) ? assignments[$1.index].running : 0) }
    }

    /// Forgets a partition: what of it waits is dropped. What runs keeps its key, and is otherwise not heard any more.
    mutating func close(_ assignment: AssignmentID) {
        guard isOpen(assignment), assignments[assignment.index].isOpen else { return }
        spansHaveChanged = true
        assignments[assignment.index] = Assignment(generation: assignment.generation &+ 1)
        overflow = overflow.filter { $0.key.assignment != assignment.index }
        // Whatever of it is in a queue or a chain leaves it, and then its slot.
        var firsts: [Int32] = []
        keys.forEach { firsts.append($0) }
        var dropped: Set<Int32> = []
        var started: [Int32] = []
        for first in firsts {
            var kept: [Int32] = []
            var index = first
            while index >= 0 {
                let slot = slots + Int(index)
                let next = slot.pointee.next
                if slot.pointee.assignment != assignment {
                    kept.append(index)
                } else if slot.pointee.state == .running {
                    slot.pointee.isOrphan = true
                    records -= 1
                    bytes -= Int(slot.pointee.size)
                    kept.append(index)
                } else {
                    dropped.insert(index)
                }
                index = next
            }
            relink(first, kept, started: &started)
        }
        if !dropped.isEmpty {
            ready.filter { !dropped.contains($0) }
            back.filter { !dropped.contains($0) }
            retries.filter { !dropped.contains($0) }
            for index in dropped {
                records -= 1
                bytes -= Int(slots[Int(index)].size)
                Self.discard(slots + Int(index))
                giveUp(index)
            }
        }
        for index in started { makeReady(index) }
    }

    /// Links what is left of a key.
    private mutating func relink(_ first: Int32, _ kept: [Int32], started: inout [Int32]) {
        guard let head = kept.first else {
            keys.remove(first, slots)
            return
        }
        for (position, index) in kept.enumerated() {
            slots[Int(index)].next = position + 1 < kept.count ? kept[position + 1] : -1
        }
        slots[Int(head)].tail = kept[kept.count - 1]
        slots[Int(head)].count = Int32(kept.count)
        guard head != first else { return }
        keys.replace(first, by: head, slots)
        started.append(head)
    }

    /// What may be committed of a partition; nil before its first record.
    func watermark(of assignment: AssignmentID) -> Int64? {
        isOpen(assignment) ? assignments[assignment.index].offsets.watermark : nil
    }

    /// The offset behind the last record of a partition that came; nil before the first.
    func head(of assignment: AssignmentID) -> Int64? {
        guard isOpen(assignment), assignments[assignment.index].offsets.watermark != nil else { return nil }
        return assignments[assignment.index].offsets.head
    }

    func span(of assignment: AssignmentID) -> Int64 {
        isOpen(assignment) ? assignments[assignment.index].offsets.span : 0
    }

    /// - Parameter wasFull: whether it had been so: then an eighth must become free, for a pause throws away what was
    ///   fetched ahead, and is logged.
    func isSpanFull(of assignment: AssignmentID, wasFull: Bool = false) -> Bool {
        span(of: assignment) >= (wasFull ? limits.spanWithRoom : limits.maxSpan)
    }

    // MARK: Slots

    @inline(__always)
    private mutating func takeSlot() -> Int32 {
        if freeCount == 0 { growSlots() }
        freeCount &-= 1
        let index = free[freeCount]
        if Int(index) >= used { used = Int(index) &+ 1 }
        return index
    }

    /// Of a slot that holds nothing any more.
    @inline(__always)
    private mutating func giveUp(_ index: Int32) {
        slots[Int(index)].state = .free
        free[freeCount] = index
        freeCount &+= 1
    }

    @inline(never)
    private mutating func growSlots() {
        let larger = UnsafeMutablePointer<Slot>.allocate(capacity: slotCount * 2)
        larger.moveInitialize(from: slots, count: slotCount)
        (larger + slotCount).initialize(repeating: Slot(), count: slotCount)
        slots.deallocate()
        slots = larger
        free.deallocate()
        free = .allocate(capacity: slotCount * 2)
        for index in 0..<slotCount { free[index] = Int32(2 * slotCount - 1 - index) }
        freeCount = slotCount
        slotCount *= 2
    }

    // MARK: Records that come

    /// The outcome of adding a record.
    enum Added {
        /// It is held.
        case held
        /// It is not: it had come before, or its partition is being given up. Its memory is the caller's.
        case dropped
        /// Its key holds too many: its offset is remembered, and it is read again. Its memory is the caller's.
        case released
    }

    /// Takes a record in.
    @inline(__always)
    mutating func add(_ record: borrowing IncomingRecord, to assignment: AssignmentID) -> Added {
        let partition = assignments + assignment.index
        totalBytes &+= UInt64(record.size)
        guard partition.pointee.generation == assignment.generation, !partition.pointee.isFenced,
            partition.pointee.offsets.received(record.offset)
        else { return .dropped }
        if partition.pointee.offsets.span >= limits.maxSpan { spansHaveChanged = true }
        if !overflow.isEmpty {
            let key = OverflowKey(hash: record.hash, assignment: assignment.index)
            if overflow[key] != nil {
                // Those before it are not all here.
                overflow[key]?.last = record.offset
                partition.pointee.offsets.release(record.offset)
                releasedTotal &+= 1
                return .released
            }
        }
        hold(record, assignment)
        return .held
    }

    @inline(__always)
    private mutating func hold(_ record: borrowing IncomingRecord, _ assignment: AssignmentID) {
        let index = takeSlot()
        records &+= 1
        bytes &+= Int(record.size)
        let slot = slots + Int(index)
        slot.pointee.message = record.message
        slot.pointee.record = record.record
        slot.pointee.failure = nil
        slot.pointee.hash = record.hash
        slot.pointee.offset = record.offset
        slot.pointee.timestamp = record.timestamp
        slot.pointee.arrival = totalBytes
        slot.pointee.assignment = assignment
        slot.pointee.size = record.size
        slot.pointee.attempt = 1
        slot.pointee.topic = record.topic
        slot.pointee.next = -1
        slot.pointee.isOrphan = false
        let (first, place) = keys.find(record.hash, slots)
        if first >= 0 {
            slot.pointee.state = .queued
            let head = slots + Int(first)
            slots[Int(head.pointee.tail)].next = index
            head.pointee.tail = index
            head.pointee.count &+= 1
        } else {
            slot.pointee.tail = index
            slot.pointee.count = 1
            slot.pointee.state = .ready
            keys.insert(index, at: place, slots)
            ready.append(index)
        }
    }

    /// Puts the keys whose waiting is over back into the ready queue.
    ///
    /// - Returns: when the next one is due, in the clock of `now`.
    mutating func fireRetries(now: UInt64) -> UInt64? {
        while let index = retries.pop(until: now) { makeReady(index) }
        return retries.lowest
    }

    /// Its key may go on, unless its partition is being given up.
    @inline(__always)
    private mutating func makeReady(_ index: Int32) {
        let slot = slots + Int(index)
        let assignment = slot.pointee.assignment.index
        guard !assignments[assignment].isFenced else {
            slot.pointee.state = .held
            return
        }
        slot.pointee.state = .ready
        back.insert(index, at: slot.pointee.arrival)
    }

    // MARK: Room

    /// What the polling thread needs to know between two polls.
    struct Standing {
        /// When the next record is tried again, in the clock of `now`.
        var nextRetry: UInt64?
        var isFull: Bool
        /// Whether a partition's span has become full, or has got room, since this was asked last.
        var spansHaveChanged: Bool
    }

    mutating func standing(now: UInt64) -> Standing {
        defer { spansHaveChanged = false }
        return Standing(nextRetry: fireRetries(now: now), isFull: isFull, spansHaveChanged: spansHaveChanged)
    }

    @inline(__always)
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

    /// The outcome of an attempt to make room.
    struct Released: Sendable {
        /// Records that were released, and the keys that held them.
        var records = 0
        var keys = 0
    }

    /// Whether there is no room, and not enough to do for all handlers.
    var wouldRelease: Bool {
        // Half of the room is enough to do where it is smaller than the number of handlers.
        let enough = min(limits.concurrency, max(2, limits.maxRecords / 2))
        return isFull && running + readyCount < enough && !isStopped
    }

    /// Releases the last records of the keys that hold the most, so that others can be read: where there is no room, and
    /// not enough to do for all handlers.
    ///
    /// The keys keep equal shares of half of the room; one that holds less than its share keeps all. Of a key that releases
    /// records no more are taken in until it has come on.
    mutating func release() -> Released {
        var released = Released()
        guard wouldRelease else { return released }
        var counts: [Int32] = []
        keys.forEach { counts.append(slots[Int($0)].count) }
        let goal = max(1, limits.maxRecords / 2)
        // The largest share such that all keys together hold no more than the goal.
        var share = Int32(clamping: goal)
        func total(_ share: Int32) -> Int { counts.reduce(0) { $0 + Int(min($1, share)) } }
        while share > 1, total(share) > goal { share /= 2 }
        while true {
            var firsts: [Int32] = []
            keys.forEach { if slots[Int($0)].count > share { firsts.append($0) } }
            for first in firsts {
                let count = releaseRest(of: first, beyond: share)
                released.records += count
                if count > 0 { released.keys += 1 }
            }
            guard bytes > limits.maxBytes / 2, share > 1 else { return released }
            share /= 2
        }
    }

    /// Releases a key's records beyond its share.
    private mutating func releaseRest(of first: Int32, beyond share: Int32) -> Int {
        var last = first
        for _ in 1..<share { last = slots[Int(last)].next }
        var index = slots[Int(last)].next
        slots[Int(last)].next = -1
        slots[Int(first)].tail = last
        slots[Int(first)].count = share
        var count = 0
        while index >= 0 {
            let slot = slots + Int(index)
            let next = slot.pointee.next
            let assignment = slot.pointee.assignment
            assignments[assignment.index].offsets.release(slot.pointee.offset)
            let key = OverflowKey(hash: slot.pointee.hash, assignment: assignment.index)
            if var known = overflow[key] {
                known.lower = min(known.lower, slot.pointee.offset)
                known.last = max(known.last, slot.pointee.offset)
                known.share = share
                known.isBlocked = true
                overflow[key] = known
            } else {
                overflow[key] = Overflow(lower: slot.pointee.offset, last: slot.pointee.offset, share: share)
            }
            records -= 1
            bytes -= Int(slot.pointee.size)
            releasedTotal &+= 1
            count += 1
            Self.discard(slot)
            giveUp(index)
            index = next
        }
        return count
    }

    /// How many keys hold records.
    var keyCount: Int { keys.count }

    // MARK: Reading again

    /// How many records are released, and how many keys they have.
    var released: (records: Int, keys: Int) {
        var count = 0
        for index in 0..<assignmentCount { count += assignments[index].offsets.releasedCount }
        return (count, overflow.count)
    }

    /// A stretch of a partition that is to be read again.
    struct Pass: Sendable {
        let assignment: AssignmentID
        let topic: String
        let partition: Int32
        /// The first offset to read.
        let start: Int64
        /// The offset behind the last one to read: what is released later may lie behind records of its key that the pass
        /// has gone by.
        let end: Int64
    }

    /// Where to read again: where a key that has released records has come on. nil when nothing is to be read again now.
    mutating func nextPass() -> Pass? {
        guard !overflow.isEmpty, !isStopped, records < limits.maxRecords else { return nil }
        if hasRoom {
            // There is room again: shares that were cut when there was none grow.
            let share = Int32(clamping: max(1, limits.maxRecords / 8))
            for (key, entry) in overflow where entry.share < share { overflow[key]?.share = share }
        }
        // Per assignment the first record that its keys could take. Each assignment has its turn.
        var lowest: [Int: Int64] = [:]
        for (key, entry) in overflow where !assignments[key.assignment].isFenced {
            guard held(key.hash) * 2 <= entry.share else { continue }
            lowest[key.assignment] = min(lowest[key.assignment] ?? .max, entry.lower)
        }
        let turns = lowest.keys.sorted()
        guard let index = turns.first(where: { $0 > lastPass }) ?? turns.first, let lower = lowest[index] else {
            return nil
        }
        lastPass = index
        guard let start = assignments[index].offsets.firstReleased(from: lower) else { return nil }
        for key in Array(overflow.keys) where key.assignment == index { overflow[key]?.isBlocked = false }
        return Pass(
            assignment: AssignmentID(index: index, generation: assignments[index].generation),
            topic: assignments[index].topic, partition: assignments[index].partition, start: start,
            end: assignments[index].offsets.releasedEnd)
    }

    private func held(_ hash: UInt64) -> Int32 {
        let first = keys.find(hash, slots).index
        return first < 0 ? 0 : slots[Int(first)].count
    }

    /// The outcome of adding a record that was read again.
    enum Reread {
        /// It is held. Its memory is taken over.
        case held
        /// It is not wanted, or its key has no room.
        case dropped
    }

    /// Takes in a record that was read again, if it was released and its key has room. The records of a key are taken in their
    /// order: once one finds no room, none behind it is taken in the same pass.
    mutating func addAgain(_ record: borrowing IncomingRecord, in pass: Pass) -> Reread {
        let assignment = pass.assignment
        guard record.offset < pass.end, isOpen(assignment), !assignments[assignment.index].isFenced,
            assignments[assignment.index].offsets.isReleased(record.offset)
        else { return .dropped }
        let key = OverflowKey(hash: record.hash, assignment: assignment.index)
        guard var entry = overflow[key], !entry.isBlocked else { return .dropped }
        // A pass that began behind its first record has not seen all of them.
        guard
            pass.start <= entry.lower
                || assignments[assignment.index].offsets.firstReleased(from: entry.lower) ?? 0 >= pass.start
        else { return .dropped }
        guard held(record.hash) < entry.share, records < limits.maxRecords else {
            entry.isBlocked = true
            entry.lower = max(entry.lower, record.offset)
            overflow[key] = entry
            return .dropped
        }
        entry.lower = record.offset + 1
        // With its last one the key is as it was before.
        overflow[key] = record.offset >= entry.last ? nil : entry
        assignments[assignment.index].offsets.reclaim(record.offset)
        hold(record, assignment)
        return .held
    }

    /// Whether a pass has read all that it can use.
    ///
    /// - Parameter position: the offset behind the last record that it has read.
    func isComplete(_ pass: Pass, at position: Int64) -> Bool {
        guard isOpen(pass.assignment), !assignments[pass.assignment.index].isFenced else { return true }
        if position >= pass.end { return true }
        // Whether a key is left that takes more.
        return !overflow.contains {
            $0.key.assignment == pass.assignment.index && !$0.value.isBlocked && $0.value.lower < pass.end
        }
    }

    /// Records that were released can never be read again: Kafka has deleted them. They count as done.
    ///
    /// - Returns: how many.
    mutating func loseReleased(below offset: Int64, of assignment: AssignmentID) -> Int {
        guard isOpen(assignment) else { return 0 }
        var count = 0
        while let one = assignments[assignment.index].offsets.firstReleased(from: 0), one < offset {
            assignments[assignment.index].offsets.reclaim(one)
            assignments[assignment.index].offsets.finished(one)
            count += 1
        }
        for (key, entry) in overflow where key.assignment == assignment.index && entry.lower < offset {
            if entry.last < offset { overflow[key] = nil } else { overflow[key]?.lower = offset }
        }
        return count
    }

    // MARK: Memory

    /// Copies records out of fetch responses that would otherwise stay in memory for their sake alone: of those that came
    /// before the last so many bytes.
    ///
    /// - Parameters:
    ///   - window: how many bytes.
    ///   - limit: how many slots are looked at, at most.
    mutating func copyOldMessages(window: UInt64, limit: Int) {
        guard totalBytes > window, used > 0 else { return }
        let before = totalBytes - window
        var left = min(limit, used)
        var copies = 64
        while left > 0, copies > 0 {
            if copyCursor >= used { copyCursor = 0 }
            let slot = slots + copyCursor
            copyCursor += 1
            left -= 1
            guard slot.pointee.arrival < before, slot.pointee.state != .free, slot.pointee.state != .running,
                let address = slot.pointee.message
            else { continue }
            let message = PolledMessage(address: address)
            slot.pointee.record = Unmanaged.passRetained(
                ConsumedRecord(message, topic: assignments[slot.pointee.assignment.index].topic))
            slot.pointee.message = nil
            message.destroy()
            copies -= 1
        }
    }

    // MARK: The workers

    /// Keys that can go on.
    @inline(__always)
    var readyCount: Int { ready.count &+ back.count }

    var hasWork: Bool { readyCount > 0 && !isStopped }

    /// Takes records to be handled, each the first of its key.
    @inline(__always)
    mutating func take(into taken: UnsafeMutablePointer<Taken>, limit: Int) -> Int {
        guard !isStopped else { return 0 }
        var count = 0
        while count < limit, readyCount > 0 {
            // What is done lies close together when records are begun in the order of their arrival.
            let index =
                back.isEmpty
                ? ready.removeFirst()
                : back.pop(until: ready.isEmpty ? .max : slots[Int(ready.first)].arrival) ?? ready.removeFirst()
            let slot = slots + Int(index)
            let partition = assignments + slot.pointee.assignment.index
            guard !partition.pointee.isFenced else {
                // It is dropped together with its partition.
                slot.pointee.state = .held
                continue
            }
            slot.pointee.state = .running
            partition.pointee.running &+= 1
            running &+= 1
            (taken + count).initialize(to: Taken(index: index, slot: slot.pointee))
            count &+= 1
        }
        return count
    }

    /// A record that a worker has taken and not begun: it is ready again, unless its partition is being given up.
    mutating func giveBack(_ index: Int32) {
        let slot = slots + Int(index)
        running -= 1
        guard !slot.pointee.isOrphan else { return endOrphan(index) }
        assignments[slot.pointee.assignment.index].running -= 1
        makeReady(index)
    }

    /// A record is done, and its memory freed.
    ///
    /// - Returns: whether the polling thread has something to look at.
    @inline(__always)
    mutating func finish(_ index: Int32) -> Bool {
        let slot = slots + Int(index)
        running &-= 1
        slot.pointee.message = nil
        slot.pointee.record = nil
        guard !slot.pointee.isOrphan else {
            endOrphan(index)
            return false
        }
        let partition = assignments + slot.pointee.assignment.index
        partition.pointee.running &-= 1
        var wakesLoop = partition.pointee.isFenced && partition.pointee.running == 0
        records &-= 1
        bytes &-= Int(slot.pointee.size)
        let wasFull = partition.pointee.offsets.span >= limits.spanWithRoom
        partition.pointee.offsets.finished(slot.pointee.offset)
        if wasFull, partition.pointee.offsets.span < limits.spanWithRoom {
            spansHaveChanged = true
            wakesLoop = true
        }
        if isThrottled, hasRoom {
            isThrottled = false
            wakesLoop = true
        }
        advance(index)
        return wakesLoop
    }

    /// The next record of the key steps forward, and the slot is free.
    @inline(__always)
    private mutating func advance(_ index: Int32) {
        let slot = slots + Int(index)
        if let failure = slot.pointee.failure {
            failure.release()
            slot.pointee.failure = nil
        }
        let next = slot.pointee.next
        if next >= 0 {
            slots[Int(next)].tail = slot.pointee.tail
            slots[Int(next)].count = slot.pointee.count &- 1
            keys.replace(index, by: next, slots)
            makeReady(next)
        } else {
            keys.remove(index, slots)
        }
        giveUp(index)
    }

    /// What is left of a partition that was closed while the record was handled.
    private mutating func endOrphan(_ index: Int32) {
        Self.discard(slots + Int(index))
        advance(index)
    }

    /// A record that was being handled is not done.
    ///
    /// - Returns: its assignment; nil when the partition was closed and the record is gone with it.
    private mutating func takeBack(_ index: Int32, record: Unmanaged<ConsumedRecord>?) -> Int? {
        let slot = slots + Int(index)
        running -= 1
        slot.pointee.message = nil
        slot.pointee.record = record
        guard !slot.pointee.isOrphan else {
            endOrphan(index)
            return nil
        }
        let assignment = slot.pointee.assignment.index
        assignments[assignment].running -= 1
        return assignment
    }

    /// A record is tried again later.
    ///
    /// - Parameter record: its copy, retained.
    /// - Returns: whether the polling thread has something to look at.
    mutating func retry(
        _ index: Int32, _ later: WorkResult.Later, record: Unmanaged<ConsumedRecord>?, now: UInt64
    ) -> Bool {
        guard let assignment = takeBack(index, record: record) else { return false }
        let slot = slots + Int(index)
        slot.pointee.failure?.release()
        slot.pointee.failure = later.failure.map { Unmanaged.passRetained($0) }
        if later.countsAttempt { slot.pointee.attempt &+= 1 }
        let (deadline, overflow) = now.addingReportingOverflow(later.delay.nanoseconds)
        let soonest = retries.lowest ?? .max
        slot.pointee.state = .waiting
        retries.insert(index, at: overflow ? .max : deadline)
        return overflow
            ? false : deadline < soonest || assignments[assignment].isFenced && assignments[assignment].running == 0
    }

    /// The work on a record was cancelled: it is left as it was, for the next owner of its partition.
    ///
    /// - Parameter record: its copy, retained; nil when its memory was freed.
    /// - Returns: whether the polling thread has something to look at.
    mutating func abandon(_ index: Int32, record: Unmanaged<ConsumedRecord>?, now: UInt64) -> Bool {
        guard let assignment = takeBack(index, record: record) else { return false }
        let slot = slots + Int(index)
        guard assignments[assignment].isFenced else {
            // The partition stays here: its next owner is this member.
            slot.pointee.state = .waiting
            let deadline = now + Self.abandonedPause
            let soonest = retries.lowest ?? .max
            retries.insert(index, at: deadline)
            return deadline < soonest
        }
        slot.pointee.state = .held
        return assignments[assignment].running == 0
    }

    /// Nanoseconds.
    private static let abandonedPause: UInt64 = 100_000_000
}

/// A record on its way into the dispatcher.
struct IncomingRecord {
    /// librdkafka's message, or nil where `record` is given.
    var message: UnsafeMutableRawPointer?
    /// A copy, retained.
    var record: Unmanaged<ConsumedRecord>?
    var hash: UInt64
    var offset: Int64
    /// Milliseconds since 1970; 0 where the record has none.
    var timestamp: Int64
    /// What it counts for against the bound of bytes.
    var size: Int32
    /// The topic's position among those of the consumer.
    var topic: Int32
}

/// A record as a worker has it.
struct Taken {
    let index: Int32
    let topic: Int32
    let attempt: Int32
    let assignment: AssignmentID
    let offset: Int64
    let timestamp: Int64
    /// librdkafka's message; the worker frees it, or replaces it by a copy.
    var message: UnsafeMutableRawPointer?
    /// The copy, retained by the slot.
    var record: Unmanaged<ConsumedRecord>?
    let failure: Unmanaged<Failure>?

    @inline(__always)
    init(index: Int32, slot: Slot) {
        self.index = index
        topic = slot.topic
        attempt = slot.attempt
        assignment = slot.assignment
        offset = slot.offset
        timestamp = slot.timestamp
        message = slot.message
        record = slot.record
        failure = slot.failure
    }
}
