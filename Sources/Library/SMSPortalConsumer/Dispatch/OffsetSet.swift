/// A set of offsets in a window that moves upwards: one bit an offset, in chunks of 4,096. A chunk that is empty or full takes
/// no memory of its own, so a million done offsets behind an unfinished one cost next to nothing.
struct OffsetSet: ~Copyable {
    private static let chunkBits: Int64 = 12
    private static let chunkSize = 4_096
    private static let words = 64

    /// The bits of a chunk, and behind them how many are set.
    private typealias Chunk = UnsafeMutablePointer<UInt64>

    /// The chunk with all bits set. Never freed: one for the process.
    private nonisolated(unsafe) static let full: Chunk = {
        let chunk = Chunk.allocate(capacity: words + 1)
        chunk.initialize(repeating: ~0, count: words)
        (chunk + words).initialize(to: UInt64(chunkSize))
        return chunk
    }()

    /// By the number of the chunk, in a ring; nil for an empty one.
    private var ring: UnsafeMutablePointer<Chunk?>
    private var capacity: Int
    /// The chunks of the window; outside of it all are empty.
    private var low: Int64 = 0
    private var high: Int64 = 0
    /// A chunk to be used again.
    private var spare: Chunk?

    init() {
        capacity = 4
        ring = .allocate(capacity: capacity)
        ring.initialize(repeating: nil, count: capacity)
    }

    deinit {
        for number in low..<high {
            if let chunk = ring[Int(number) & (capacity - 1)], chunk != Self.full { chunk.deallocate() }
        }
        ring.deallocate()
        spare?.deallocate()
    }

    @inline(__always)
    private func position(_ chunk: Int64) -> Int { Int(chunk) & (capacity &- 1) }

    // MARK: Members

    func contains(_ offset: Int64) -> Bool {
        let number = offset >> Self.chunkBits
        guard number >= low, number < high, let chunk = ring[position(number)] else { return false }
        let bit = Int(offset) & (Self.chunkSize - 1)
        return chunk[bit >> 6] & (1 << UInt64(bit & 63)) != 0
    }

    @inline(__always)
    mutating func insert(_ offset: Int64) {
        let number = offset >> Self.chunkBits
        if number < low || number >= high { widen(to: number) }
        let position = position(number)
        let chunk: Chunk
        if let known = ring[position] {
            chunk = known
        } else {
            chunk = makeChunk()
            ring[position] = chunk
        }
        let bit = Int(offset) & (Self.chunkSize - 1)
        let mask: UInt64 = 1 << UInt64(bit & 63)
        guard chunk[bit >> 6] & mask == 0 else { return }
        chunk[bit >> 6] |= mask
        chunk[Self.words] &+= 1
        if chunk[Self.words] == UInt64(Self.chunkSize) { fill(position) }
    }

    mutating func insert(_ range: Range<Int64>) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let number = offset >> Self.chunkBits
            let end = (number + 1) << Self.chunkBits
            if offset & Int64(Self.chunkSize - 1) == 0, end <= range.upperBound {
                if number < low || number >= high { widen(to: number) }
                fill(position(number))
                offset = end
            } else {
                insert(offset)
                offset += 1
            }
        }
    }

    mutating func remove(_ offset: Int64) {
        guard contains(offset) else { return }
        let position = position(offset >> Self.chunkBits)
        guard var chunk = ring[position] else { return }
        if chunk == Self.full {
            chunk = makeChunk()
            chunk.update(repeating: ~0, count: Self.words)
            chunk[Self.words] = UInt64(Self.chunkSize)
            ring[position] = chunk
        }
        let bit = Int(offset) & (Self.chunkSize - 1)
        chunk[bit >> 6] &= ~(1 << UInt64(bit & 63))
        chunk[Self.words] -= 1
        if chunk[Self.words] == 0 { empty(position) }
    }

    // MARK: Looking for offsets

    /// The first offset from this one on that is not in the set; `limit` when there is none below it.
    @inline(__always)
    func firstMissing(from offset: Int64, limit: Int64) -> Int64 {
        var offset = offset
        while offset < limit {
            let number = offset >> Self.chunkBits
            guard number >= low, number < high, let chunk = ring[position(number)] else { return offset }
            let end = (number + 1) << Self.chunkBits
            if chunk == Self.full {
                offset = end
                continue
            }
            var bit = Int(offset) & (Self.chunkSize - 1)
            while bit < Self.chunkSize {
                let missing = ~chunk[bit >> 6] >> UInt64(bit & 63)
                if missing != 0 {
                    let found = number << Self.chunkBits + Int64(bit + missing.trailingZeroBitCount)
                    return min(found, limit)
                }
                bit = (bit | 63) + 1
            }
            offset = end
        }
        return limit
    }

    /// The first offset from this one on that is in the set; nil when there is none.
    func first(from offset: Int64) -> Int64? {
        var offset = max(offset, low << Self.chunkBits)
        while offset >> Self.chunkBits < high {
            let number = offset >> Self.chunkBits
            let end = (number + 1) << Self.chunkBits
            guard let chunk = ring[position(number)] else {
                offset = end
                continue
            }
            var bit = Int(offset) & (Self.chunkSize - 1)
            while bit < Self.chunkSize {
                let present = chunk[bit >> 6] >> UInt64(bit & 63)
                if present != 0 { return number << Self.chunkBits + Int64(bit + present.trailingZeroBitCount) }
                bit = (bit | 63) + 1
            }
            offset = end
        }
        return nil
    }

    // MARK: The window

    /// Forgets what lies below an offset, as far as whole chunks do.
    @inline(__always)
    mutating func dropBelow(_ offset: Int64) {
        guard low < offset >> Self.chunkBits, low < high else { return }
        drop(to: offset >> Self.chunkBits)
    }

    private mutating func drop(to number: Int64) {
        while low < min(number, high) {
            empty(position(low))
            low += 1
        }
    }

    @inline(never)
    private mutating func widen(to number: Int64) {
        if low == high {
            low = number
            high = number
        }
        let newLow = min(low, number)
        let newHigh = max(high, number + 1)
        if newHigh - newLow > Int64(capacity) {
            var larger = capacity
            while Int64(larger) < newHigh - newLow { larger *= 2 }
            let moved = UnsafeMutablePointer<Chunk?>.allocate(capacity: larger)
            moved.initialize(repeating: nil, count: larger)
            for number in low..<high { moved[Int(number) & (larger - 1)] = ring[position(number)] }
            ring.deallocate()
            ring = moved
            capacity = larger
        }
        low = newLow
        high = newHigh
    }

    private mutating func makeChunk() -> Chunk {
        let chunk = spare ?? .allocate(capacity: Self.words + 1)
        spare = nil
        chunk.initialize(repeating: 0, count: Self.words + 1)
        return chunk
    }

    private mutating func fill(_ position: Int) {
        recycle(ring[position])
        ring[position] = Self.full
    }

    private mutating func empty(_ position: Int) {
        recycle(ring[position])
        ring[position] = nil
    }

    private mutating func recycle(_ chunk: Chunk?) {
        guard let chunk, chunk != Self.full else { return }
        if spare == nil { spare = chunk } else { chunk.deallocate() }
    }
}
