/// What of one assigned partition is done: the watermark below which everything is, and what is done beyond it.
///
/// Events are finished in any order, and only the watermark may be committed. An unfinished event holds it back, not the
/// events behind it.
struct OffsetTracker: ~Copyable {
    /// The offset to commit: everything below it is done. nil before the first record.
    var watermark: Int64? { low < 0 ? nil : low }
    /// The offset after the last record that came.
    private(set) var head: Int64 = 0
    private var low: Int64 = -1
    /// Done at or above the watermark.
    private var done = OffsetSet()
    /// Read, and released because their keys hold too many: they are read again.
    private var released = OffsetSet()
    /// How many are released.
    private(set) var releasedCount = 0
    /// The offset after the last one that was ever released.
    private(set) var releasedEnd: Int64 = 0

    /// How far the watermark lies behind the last record.
    var span: Int64 { low < 0 ? 0 : head - low }

    /// A record has come.
    ///
    /// Offsets that no record has (compaction, markers of transactions) count as done.
    ///
    /// - Returns: false when it, or a later one, had come before.
    @inline(__always)
    mutating func received(_ offset: Int64) -> Bool {
        if low < 0 {
            low = offset
            head = offset
        }
        guard offset >= head else { return false }
        if offset > head { finish(head..<offset) }
        head = offset &+ 1
        return true
    }

    /// Everything below this offset has come or is not wanted.
    mutating func passed(_ offset: Int64) {
        guard low >= 0 else {
            low = offset
            head = offset
            return
        }
        guard offset > head else { return }
        finish(head..<offset)
        head = max(head, offset)
    }

    /// A record that had come is done.
    @inline(__always)
    mutating func finished(_ offset: Int64) {
        if offset == low {
            advance(to: offset &+ 1)
        } else {
            done.insert(offset)
        }
    }

    private mutating func finish(_ range: Range<Int64>) {
        let isNext = range.lowerBound == low
        head = max(head, range.upperBound)
        if isNext { advance(to: range.upperBound) } else { done.insert(range) }
    }

    /// - Parameter offset: Everything below it is done.
    @inline(__always)
    private mutating func advance(to offset: Int64) {
        low = done.firstMissing(from: offset, limit: head)
        done.dropBelow(low)
    }

    func isDone(_ offset: Int64) -> Bool { offset < low || done.contains(offset) }

    // MARK: Released records

    func isReleased(_ offset: Int64) -> Bool { releasedCount > 0 && released.contains(offset) }

    mutating func release(_ offset: Int64) {
        guard !released.contains(offset) else { return }
        released.insert(offset)
        releasedCount += 1
        releasedEnd = max(releasedEnd, offset + 1)
    }

    /// It has been read again, or will never be.
    mutating func reclaim(_ offset: Int64) {
        guard released.contains(offset) else { return }
        released.remove(offset)
        releasedCount -= 1
        released.dropBelow(low)
    }

    /// The first released offset from this one on.
    func firstReleased(from offset: Int64) -> Int64? { releasedCount > 0 ? released.first(from: offset) : nil }
}
