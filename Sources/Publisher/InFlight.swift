/// The events that librdkafka holds, each in a slot.
///
/// What travels through librdkafka is the slot's number and generation, so that a report that comes when its event is
/// long forgotten finds nothing. A slot is free again only when its report is in: an event whose caller has been answered
/// still takes its room, because librdkafka still holds it.
struct InFlight {
    struct Event {
        /// The caller's; nil once the caller has been answered.
        var token: UInt64?
        /// Nanoseconds of the loop's clock.
        var accepted: UInt64
        var bytes: Int
        var topic: Int
    }

    private struct Slot {
        var event: Event?
        var generation: UInt32 = 0
    }

    private var slots: [Slot] = []
    private var free: [UInt32] = []
    private(set) var count = 0
    private(set) var bytes = 0

    /// Takes an event in.
    ///
    /// - Returns: what to give to librdkafka.
    mutating func insert(_ event: Event) -> UInt64 {
        let index: UInt32
        if let reused = free.popLast() {
            index = reused
        } else {
            index = UInt32(slots.count)
            slots.append(Slot())
        }
        count += 1
        bytes += event.bytes
        slots[Int(index)].event = event
        return UInt64(slots[Int(index)].generation) << 32 | UInt64(index)
    }

    /// The report is in: frees the slot.
    ///
    /// - Returns: nil when the report belongs to no event that is known.
    mutating func remove(_ opaque: UInt64) -> Event? {
        guard let index = index(of: opaque), let event = slots[index].event else { return nil }
        slots[index].event = nil
        slots[index].generation &+= 1
        free.append(UInt32(index))
        count -= 1
        bytes -= event.bytes
        return event
    }

    /// The caller is answered before the report is in.
    ///
    /// - Returns: the caller's token, nil when there is none to answer.
    mutating func abandon(_ opaque: UInt64) -> UInt64? {
        guard let index = index(of: opaque), let token = slots[index].event?.token else { return nil }
        slots[index].event?.token = nil
        return token
    }

    /// The topic of an event that librdkafka holds.
    func topic(of opaque: UInt64) -> Int? {
        index(of: opaque).flatMap { slots[$0].event?.topic }
    }

    /// Whether an event still waits for its answer.
    func isWaiting(_ opaque: UInt64) -> Bool {
        guard let index = index(of: opaque) else { return false }
        return slots[index].event?.token != nil
    }

    /// Forgets every event: reports that still come find nothing.
    ///
    /// - Returns: the tokens of those whose callers wait.
    mutating func removeAll() -> [UInt64] {
        var tokens: [UInt64] = []
        for index in slots.indices {
            guard let event = slots[index].event else { continue }
            if let token = event.token { tokens.append(token) }
            _ = remove(UInt64(slots[index].generation) << 32 | UInt64(index))
        }
        return tokens
    }

    private func index(of opaque: UInt64) -> Int? {
        let index = Int(opaque & 0xffff_ffff)
        guard index < slots.count, slots[index].generation == UInt32(opaque >> 32) else { return nil }
        return index
    }
}

/// Deadlines that all lie equally far in the future when they are set, so that they come due in the order of their
/// setting: a queue in a ring of its own.
struct DeadlineQueue {
    private var entries: [(opaque: UInt64, deadline: UInt64)] = []
    private var head = 0
    private(set) var count = 0

    var first: (opaque: UInt64, deadline: UInt64)? { count == 0 ? nil : entries[head] }

    mutating func append(_ opaque: UInt64, deadline: UInt64) {
        if count == entries.count { grow() }
        entries[(head + count) & (entries.count - 1)] = (opaque, deadline)
        count += 1
    }

    mutating func removeFirst() {
        guard count > 0 else { return }
        head = (head + 1) & (entries.count - 1)
        count -= 1
    }

    private mutating func grow() {
        var larger: [(opaque: UInt64, deadline: UInt64)] = []
        larger.reserveCapacity(max(64, entries.count * 2))
        for index in 0..<count { larger.append(entries[(head + index) & (entries.count - 1)]) }
        while larger.count < max(64, entries.count * 2) { larger.append((opaque: 0, deadline: 0)) }
        entries = larger
        head = 0
    }
}
