/// One request that waits for its response: a slot of the server's table and the slot's generation. A late response
/// names an exchange that no longer exists, and is ignored.
package struct Exchange: Sendable, Hashable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    private static let slotBits: UInt64 = 24

    init(slot: Int, generation: UInt64) {
        rawValue = generation << Self.slotBits | UInt64(slot)
    }

    var slot: Int { Int(rawValue & (1 << Self.slotBits - 1)) }

    /// The next one of the same slot. Forty bits of generations last a slot for years at any rate that it can reach.
    var successor: Exchange { Exchange(rawValue: rawValue &+ (1 << Self.slotBits)) }

    /// The number of distinct slots.
    static let maxSlots = 1 << Int(slotBits)
}
