/// The line of lanes that can go on, by the place of their first record.
///
/// Records come in the order of their places, so almost every lane joins the line at its end: those stand in a queue. A lane
/// that comes back, for its next record or after waiting, has its place before the end; those are few, and kept in a heap.
struct LaneLine {
    private var queue = Queue<(place: UInt64, lane: LaneReference)>()
    private var heap = LaneHeap()
    /// The highest place that has ever joined.
    private var last: UInt64 = 0

    var count: Int { queue.count + heap.count }
    var isEmpty: Bool { queue.isEmpty && heap.isEmpty }

    mutating func insert(_ lane: LaneReference, at place: UInt64) {
        guard place > last else { return heap.insert(lane, at: place) }
        last = place
        queue.append((place, lane))
    }

    /// Takes the lane whose place is the lowest.
    mutating func popFirst() -> LaneReference? {
        heap.pop(until: queue.first?.place ?? .max) ?? queue.popFirst()?.lane
    }
}
