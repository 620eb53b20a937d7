/// All lanes, found by their order: a hash table whose hash is the order itself, which is one already. Lanes of one bucket
/// are chained.
struct LaneTable {
    private struct Slot {
        var lane: Lane
        /// The next lane of the bucket, or the next free slot; -1 at the end.
        var next: Int
        var generation: UInt32 = 0
        var isFree = false
    }

    private var slots: [Slot] = []
    /// Per bucket its first lane; -1 for none.
    private var buckets: [Int]
    private var firstFree = -1

    /// - Parameter capacity: How many lanes there are at most, about.
    init(capacity: Int) {
        var size = 64
        while size < min(capacity, 1 << 16) { size *= 2 }
        buckets = Array(repeating: -1, count: size)
    }

    private func bucket(_ order: UInt64) -> Int { Int(truncatingIfNeeded: order) & (buckets.count - 1) }

    /// Whether the lane still lives.
    func isCurrent(_ lane: LaneReference) -> Bool {
        slots[lane.index].generation == lane.generation && !slots[lane.index].isFree
    }

    /// A lane that lives.
    subscript(lane: LaneReference) -> Lane {
        _read { yield slots[lane.index].lane }
        _modify {
            precondition(isCurrent(lane))
            yield &slots[lane.index].lane
        }
    }

    /// Appends a record to the lane of its order.
    ///
    /// - Parameter place: its place in the line of all records.
    /// - Returns: the lane when it is a new one.
    mutating func append(_ record: ConsumedRecord, place: UInt64, to assignment: AssignmentID) -> LaneReference? {
        let bucket = bucket(record.order)
        var index = buckets[bucket]
        while index >= 0 {
            if slots[index].lane.order == record.order, slots[index].lane.assignment == assignment {
                slots[index].lane.append(record, place: place)
                return nil
            }
            index = slots[index].next
        }
        if firstFree >= 0 {
            index = firstFree
            firstFree = slots[index].next
            slots[index].lane = Lane(record, place: place, assignment: assignment)
            slots[index].next = buckets[bucket]
            slots[index].isFree = false
        } else {
            index = slots.count
            slots.append(
                Slot(lane: Lane(record, place: place, assignment: assignment), next: buckets[bucket]))
        }
        buckets[bucket] = index
        return LaneReference(index: index, generation: slots[index].generation)
    }

    /// The first record of a lane is done. A lane without another one goes.
    ///
    /// - Returns: whether there is another one.
    mutating func advance(_ lane: LaneReference) -> Bool {
        precondition(isCurrent(lane))
        if slots[lane.index].lane.advance() { return true }
        remove(lane.index)
        return false
    }

    /// Removes the lanes of an assignment, with their records.
    mutating func removeAll(of assignment: AssignmentID, _ body: (ConsumedRecord) -> Void) {
        for index in slots.indices where !slots[index].isFree && slots[index].lane.assignment == assignment {
            slots[index].lane.forEach(body)
            slots[index].lane.removeAll()
            remove(index)
        }
    }

    private mutating func remove(_ index: Int) {
        let bucket = bucket(slots[index].lane.order)
        if buckets[bucket] == index {
            buckets[bucket] = slots[index].next
        } else {
            var before = buckets[bucket]
            while slots[before].next != index { before = slots[before].next }
            slots[before].next = slots[index].next
        }
        slots[index].generation &+= 1
        slots[index].isFree = true
        slots[index].next = firstFree
        firstFree = index
    }
}
