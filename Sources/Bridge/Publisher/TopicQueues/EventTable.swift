internal import SMSBridgeSpool

/// An event on its way: handed to librdkafka, to the spool, or to both.
struct PendingEvent {
    enum Stored {
        /// Not in the spool.
        case no
        /// Given to the spool; whether it is on disk is not known yet.
        case pending
        /// On disk.
        case yes
        /// Given to the spool, and so is the order to delete it again.
        case obsolete
    }

    /// How it was handed to librdkafka.
    enum Way {
        /// In batches with others.
        case shared
        /// In a batch of its own, so that a rejection concerns it and no other.
        case individual
        /// So, and with the time of the attempt in place of its own timestamp, which Kafka has rejected.
        case individualNow
    }

    /// The caller's; nil once the caller has been answered, and for events that come out of the spool.
    var token: UInt64?
    /// Nanoseconds of the loop's clock.
    var accepted: UInt64
    var record: SpoolRecord
    /// The position in the order of acceptance.
    var number: Int64
    /// Whether librdkafka has it and its delivery report is not in.
    var isSent = false
    var way = Way.shared
    var stored = Stored.no
    /// Whether it is of a backlog that newer events bypass.
    var isBacklog = false

    /// Whether the spool counts it as one of its topic's.
    var isRow: Bool { stored == .pending || stored == .yes }

    /// The topic queue's index.
    var queue: Int { record.lane }
}

/// The events on their way, each in a slot.
///
/// What travels through librdkafka and through the spool is the slot's number and generation, so that a report that
/// comes when its event is long forgotten finds nothing.
struct EventTable {
    private struct Slot {
        var event: PendingEvent?
        var generation: UInt32 = 0
    }

    private var slots: [Slot] = []
    private var free: [UInt32] = []
    private(set) var count = 0
    private(set) var bytes = 0

    mutating func insert(_ event: PendingEvent) -> UInt64 {
        let index: UInt32
        if let reused = free.popLast() {
            index = reused
        } else {
            index = UInt32(slots.count)
            slots.append(Slot())
        }
        count += 1
        bytes += event.record.size
        slots[Int(index)].event = event
        return UInt64(slots[Int(index)].generation) << 32 | UInt64(index)
    }

    /// The event, as long as it is on its way. Setting changes it; it cannot be set to nil.
    subscript(opaque: UInt64) -> PendingEvent? {
        get { index(of: opaque).flatMap { slots[$0].event } }
        set {
            guard let index = index(of: opaque), slots[index].event != nil, let newValue else { return }
            slots[index].event = newValue
        }
    }

    mutating func remove(_ opaque: UInt64) {
        guard let index = index(of: opaque), let size = slots[index].event?.record.size else { return }
        slots[index].event = nil
        slots[index].generation &+= 1
        free.append(UInt32(index))
        count -= 1
        bytes -= size
    }

    /// The topic queue of an event that is on its way.
    @inline(__always)
    func queue(of opaque: UInt64) -> Int? {
        guard let index = index(of: opaque) else { return nil }
        return slots[index].event?.record.lane
    }

    /// What a delivery needs of an event that only librdkafka has, in a shared batch, and whose caller waits.
    @inline(__always)
    func plainDelivery(_ opaque: UInt64) -> (queue: Int, token: UInt64, accepted: UInt64, size: Int)? {
        guard let index = index(of: opaque), slots[index].event?.isSent == true, slots[index].event?.stored == .no,
            slots[index].event?.way == .shared, slots[index].event?.isBacklog == false,
            let token = slots[index].event?.token, let accepted = slots[index].event?.accepted,
            let record = slots[index].event?.record
        else { return nil }
        return (record.lane, token, accepted, record.size)
    }

    /// Moves all events on in the order of acceptance.
    mutating func renumber(by offset: Int64) {
        for index in slots.indices { slots[index].event?.number += offset }
    }

    /// Whether `isWanted` holds for any of them.
    func contains(where isWanted: (PendingEvent) -> Bool) -> Bool {
        slots.contains { $0.event.map(isWanted) ?? false }
    }

    /// Visits all of them, in no order.
    func forEach(_ body: (PendingEvent) -> Void) {
        for slot in slots { if let event = slot.event { body(event) } }
    }

    /// Those for which `isWanted` holds, in the order of acceptance.
    func all(where isWanted: (PendingEvent) -> Bool) -> [UInt64] {
        var found: [(number: Int64, opaque: UInt64)] = []
        for index in slots.indices {
            guard let event = slots[index].event, isWanted(event) else { continue }
            found.append((event.number, UInt64(slots[index].generation) << 32 | UInt64(index)))
        }
        return found.sorted { $0.number < $1.number }.map(\.opaque)
    }

    @inline(__always)
    private func index(of opaque: UInt64) -> Int? {
        let index = Int(opaque & 0xffff_ffff)
        guard index < slots.count, slots[index].generation == UInt32(opaque >> 32) else { return nil }
        return index
    }
}
