/// A record that is held, in flat memory: addressed by its index, linked to the next record of its key.
struct Slot {
    enum State: UInt8 {
        case free
        /// Behind another record of its key.
        case queued
        /// The first of its key, and may be handled.
        case ready
        /// A worker has it.
        case running
        /// The first of its key, tried again later.
        case waiting
        /// The first of its key, and not to be begun: its partition is being given up.
        case held
    }

    /// librdkafka's message; nil once the record is copied, or for a record that was made by hand.
    var message: UnsafeMutableRawPointer?
    /// The copy.
    var record: Unmanaged<ConsumedRecord>?
    /// Why it goes to the dead letters, once that is decided.
    var failure: Unmanaged<Failure>?
    /// Of its key: records with the same one are handled one after the other. Two keys may share it; they then wait for each
    /// other, which harms neither.
    var hash: UInt64 = 0
    var offset: Int64 = 0
    /// Milliseconds since 1970; 0 where the record has none.
    var timestamp: Int64 = 0
    /// How many bytes had been read when it came: by that it is in the order of its arrival, and known to be old.
    var arrival: UInt64 = 0
    var assignment = AssignmentID(index: 0, generation: 0)
    /// What it counts for against the bound of bytes.
    var size: Int32 = 0
    var attempt: Int32 = 1
    /// The topic's position among those of the consumer.
    var topic: Int32 = 0
    /// The next record of its key; -1 for none.
    var next: Int32 = -1
    /// Of the first record of a key: the last one, how many are held, and where the key table has it.
    var tail: Int32 = -1
    var count: Int32 = 0
    var place: Int32 = -1
    var state = State.free
    /// Its assignment is closed: its outcome matters to its key only.
    var isOrphan = false
}

/// The first record of each key that has one, by the key's hash: open addressing, which needs no memory per key.
struct KeyTable: ~Copyable {
    private var places: UnsafeMutablePointer<Int32>
    private var mask: Int
    private(set) var count = 0

    init() {
        places = .allocate(capacity: 256)
        places.initialize(repeating: -1, count: 256)
        mask = 255
    }

    deinit { places.deallocate() }

    /// The first record of a key; -1 for none, with the place where it would be.
    @inline(__always)
    func find(_ hash: UInt64, _ slots: UnsafeMutablePointer<Slot>) -> (index: Int32, place: Int) {
        var place = Int(truncatingIfNeeded: hash) & mask
        while true {
            let index = places[place]
            if index < 0 || slots[Int(index)].hash == hash { return (index, place) }
            place = (place &+ 1) & mask
        }
    }

    /// Adds the first record of a key at the place that `find` gave.
    @inline(__always)
    mutating func insert(_ index: Int32, at place: Int, _ slots: UnsafeMutablePointer<Slot>) {
        places[place] = index
        slots[Int(index)].place = Int32(truncatingIfNeeded: place)
        count &+= 1
        if count &* 2 > mask { grow(slots) }
    }

    /// Another record is the first of its key now.
    @inline(__always)
    func replace(_ index: Int32, by next: Int32, _ slots: UnsafeMutablePointer<Slot>) {
        let place = slots[Int(index)].place
        places[Int(place)] = next
        slots[Int(next)].place = place
    }

    /// The key has no record any more.
    @inline(__always)
    mutating func remove(_ index: Int32, _ slots: UnsafeMutablePointer<Slot>) {
        var gap = Int(slots[Int(index)].place)
        var place = gap
        // What follows closes the gap.
        while true {
            place = (place &+ 1) & mask
            let other = places[place]
            if other < 0 { break }
            let home = Int(truncatingIfNeeded: slots[Int(other)].hash) & mask
            if (place &- home) & mask >= (place &- gap) & mask {
                places[gap] = other
                slots[Int(other)].place = Int32(truncatingIfNeeded: gap)
                gap = place
            }
        }
        places[gap] = -1
        count &-= 1
    }

    /// Visits the first record of every key.
    func forEach(_ body: (Int32) -> Void) {
        for place in 0...mask where places[place] >= 0 { body(places[place]) }
    }

    @inline(never)
    private mutating func grow(_ slots: UnsafeMutablePointer<Slot>) {
        let old = places
        let oldCount = mask + 1
        mask = oldCount * 2 - 1
        places = .allocate(capacity: mask + 1)
        places.initialize(repeating: -1, count: mask + 1)
        for position in 0..<oldCount where old[position] >= 0 {
            var place = Int(truncatingIfNeeded: slots[Int(old[position])].hash) & mask
            while places[place] >= 0 { place = (place &+ 1) & mask }
            places[place] = old[position]
            slots[Int(old[position])].place = Int32(truncatingIfNeeded: place)
        }
        old.deallocate()
    }
}

/// Indices of slots, first in, first out, in a ring that grows.
struct IndexQueue: ~Copyable {
    private var ring: UnsafeMutablePointer<Int32>
    private var mask: Int
    private var head = 0
    private var tail = 0

    init() {
        ring = .allocate(capacity: 64)
        mask = 63
    }

    deinit { ring.deallocate() }

    @inline(__always) var count: Int { tail &- head }
    @inline(__always) var isEmpty: Bool { head == tail }
    /// The first; undefined when there is none.
    @inline(__always) var first: Int32 { ring[head & mask] }

    @inline(__always)
    mutating func append(_ index: Int32) {
        if count > mask { grow() }
        ring[tail & mask] = index
        tail &+= 1
    }

    @inline(__always)
    mutating func removeFirst() -> Int32 {
        defer { head &+= 1 }
        return ring[head & mask]
    }

    /// Keeps only some of them, in their order.
    mutating func filter(_ isKept: (Int32) -> Bool) {
        for _ in 0..<count {
            let index = removeFirst()
            if isKept(index) { append(index) }
        }
    }

    @inline(never)
    private mutating func grow() {
        let larger = UnsafeMutablePointer<Int32>.allocate(capacity: (mask + 1) * 2)
        let count = count
        for position in 0..<count { larger[position] = ring[(head &+ position) & mask] }
        ring.deallocate()
        ring = larger
        mask = mask * 2 + 1
        head = 0
        tail = count
    }
}

/// Indices of slots, the one with the lowest key first: a binary heap. By the time of the next attempt, or in the order of arrival.
struct IndexHeap {
    private var entries: [(key: UInt64, index: Int32)] = []

    /// The lowest key; nil when there is none.
    @inline(__always) var lowest: UInt64? { entries.first?.key }
    @inline(__always) var isEmpty: Bool { entries.isEmpty }
    @inline(__always) var count: Int { entries.count }

    mutating func insert(_ index: Int32, at key: UInt64) {
        entries.append((key, index))
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard key < entries[parent].key else { break }
            entries[child] = entries[parent]
            child = parent
        }
        entries[child] = (key, index)
    }

    /// Takes the one with the lowest key, if that is not above a limit.
    mutating func pop(until limit: UInt64) -> Int32? {
        guard let first = entries.first, first.key <= limit else { return nil }
        let last = entries.removeLast()
        guard !entries.isEmpty else { return first.index }
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1].key < entries[child].key { child += 1 }
            guard entries[child].key < last.key else { break }
            entries[parent] = entries[child]
            parent = child
        }
        entries[parent] = last
        return first.index
    }

    /// Keeps only some of them.
    mutating func filter(_ isKept: (Int32) -> Bool) {
        let kept = entries.filter { isKept($0.index) }
        entries = []
        for entry in kept { insert(entry.index, at: entry.key) }
    }
}
