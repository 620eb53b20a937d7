/// Finds a name among a fixed set of at most 250, in a few nanoseconds.
///
/// An open hash table over the first and last eight bytes and the length; what it finds is compared in full.
final class NameTable {
    static let unknown: UInt8 = 255

    private let count: Int
    /// The names, one after the other.
    private let text: UnsafeMutablePointer<UInt8>
    /// Where each name begins in `text`, and where the last one ends.
    private let starts: UnsafeMutablePointer<Int>
    /// Each name's ``Bytes/lowercaseSortKey``.
    private let keys: UnsafeMutablePointer<UInt64>
    private let slots: UnsafeMutablePointer<UInt8>
    private let mask: Int
    private let ignoresCase: Bool

    /// - Parameters:
    ///   - names: Distinct, at most 250; when letter case is ignored, in lower case (ASCII).
    ///   - ignoresCase: Whether the case of ASCII letters matters not.
    init(_ names: [String], ignoringCase ignoresCase: Bool) {
        precondition(names.count <= 250)
        var size = 64
        while size < names.count * 4 { size *= 2 }
        mask = size - 1
        slots = .allocate(capacity: size)
        slots.initialize(repeating: Self.unknown, count: size)
        self.ignoresCase = ignoresCase
        count = names.count
        let all = names.flatMap { Array($0.utf8) }
        text = .allocate(capacity: max(all.count, 1))
        for (index, byte) in all.enumerated() { text[index] = byte }
        starts = .allocate(capacity: names.count + 1)
        starts[0] = 0
        keys = .allocate(capacity: max(names.count, 1))
        for (index, name) in names.enumerated() {
            starts[index + 1] = starts[index] + name.utf8.count
            let stored = self.name(at: index)
            keys[index] = stored.lowercaseSortKey
            var slot = Self.hash(stored, key: keys[index]) & mask
            while slots[slot] != Self.unknown { slot = (slot + 1) & mask }
            slots[slot] = UInt8(index)
        }
    }

    deinit {
        text.deallocate()
        starts.deallocate()
        keys.deallocate()
        slots.deallocate()
    }

    @inline(__always)
    private func name(at index: Int) -> Bytes {
        Bytes(base: UnsafePointer(text + starts[index]), count: starts[index &+ 1] &- starts[index])
    }

    /// - Parameter key: The name's ``Bytes/lowercaseSortKey``.
    @inline(__always)
    func index(of name: Bytes, key: UInt64) -> UInt8 {
        var slot = Self.hash(name, key: key) & mask
        while true {
            let index = slots[slot]
            if index == Self.unknown { return index }
            let candidate = self.name(at: Int(index))
            if ignoresCase ? name.equalsIgnoringCase(candidate) : name.equals(candidate) { return index }
            slot = (slot &+ 1) & mask
        }
    }

    /// - Parameter expected: The name's likely index, which is tried first; ``unknown`` where none is likely.
    @inline(__always)
    func index(of name: Bytes, expecting expected: UInt8) -> UInt8 {
        if expected != Self.unknown, name.equals(self.name(at: Int(expected))) { return expected }
        return index(of: name, key: name.lowercaseSortKey)
    }

    /// Letter case does not matter here, whether or not it does in the end.
    @inline(__always)
    private static func hash(_ name: Bytes, key: UInt64) -> Int {
        let tail = name.count > 8 ? asciiLowercase(name.word(at: name.count &- 8)) : 0
        let first = key &* 0x9E37_79B9_7F4A_7C15
        let second = tail &* 0xC2B2_AE3D_27D4_EB4F
        let mixed = (first ^ (second >> 29) ^ second) &+ UInt64(truncatingIfNeeded: name.count) &* 0x1656_67B1_9E37_79F9
        return Int(truncatingIfNeeded: (mixed ^ (mixed >> 32)) >> 24 & 0xFFFF_FFFF)
    }
}
