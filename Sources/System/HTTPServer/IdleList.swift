/// The slots of connections between two requests, the one that has been idle for longest first. Each operation takes
/// constant time and allocates nothing once there were as many slots.
struct IdleList {
    private static let none: Int32 = -1
    /// A slot that is not in the list.
    private static let absent: Int32 = -2

    private var next: [Int32] = []
    private var previous: [Int32] = []
    private var head = none
    private var tail = none
    private(set) var count = 0

    /// The slot that has been idle for longest.
    var longest: Int? { head == Self.none ? nil : Int(head) }

    /// Puts a slot at the end; one that is in the list already moves there.
    mutating func append(_ slot: Int) {
        remove(slot)
        while next.count <= slot {
            next.append(Self.absent)
            previous.append(Self.absent)
        }
        next[slot] = Self.none
        previous[slot] = tail
        if tail == Self.none { head = Int32(slot) } else { next[Int(tail)] = Int32(slot) }
        tail = Int32(slot)
        count += 1
    }

    /// Takes a slot out, if it is in.
    mutating func remove(_ slot: Int) {
        guard slot < next.count, next[slot] != Self.absent else { return }
        let (before, behind) = (previous[slot], next[slot])
        if before == Self.none { head = behind } else { next[Int(before)] = behind }
        if behind == Self.none { tail = before } else { previous[Int(behind)] = before }
        next[slot] = Self.absent
        previous[slot] = Self.absent
        count -= 1
    }
}
