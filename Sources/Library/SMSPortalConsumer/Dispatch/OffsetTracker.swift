/// What of one assigned partition is done: the watermark below which everything is, and what is done beyond it.
///
/// Events are finished in any order, and only the watermark may be committed. A slow event holds it back, not the work
/// behind it: what is done above it is kept as intervals, of which there is at most one more than unfinished events.
struct OffsetTracker {
    /// The offset to commit: everything below it is done. nil before the first record.
    private(set) var watermark: Int64?
    /// The offset after the last record that came.
    private(set) var head: Int64 = 0
    /// Done above the watermark: ascending, apart from each other.
    private(set) var done: [Range<Int64>] = []

    /// How far the watermark lies behind the last record.
    var span: Int64 { watermark.map { head - $0 } ?? 0 }

    /// A record has come.
    ///
    /// Offsets that no record has (compaction, markers of transactions) count as done.
    ///
    /// - Returns: false when it, or a later one, had come before.
    mutating func received(_ offset: Int64) -> Bool {
        guard watermark != nil else {
            watermark = offset
            head = offset + 1
            return true
        }
        guard offset >= head else { return false }
        let gap = head..<offset
        head = offset + 1
        if !gap.isEmpty { finish(gap) }
        return true
    }

    /// Everything below this offset has come or is not wanted.
    mutating func passed(_ offset: Int64) {
        guard watermark != nil else {
            watermark = offset
            head = offset
            return
        }
        guard offset > head else { return }
        let gap = head..<offset
        head = offset
        finish(gap)
    }

    /// A record that had come is done.
    mutating func finished(_ offset: Int64) {
        finish(offset..<offset + 1)
    }

    private mutating func finish(_ range: Range<Int64>) {
        guard let low = watermark else { return }
        if range.lowerBound == low {
            guard let next = done.first, next.lowerBound == range.upperBound else {
                watermark = range.upperBound
                return
            }
            watermark = next.upperBound
            done.removeFirst()
            return
        }
        // The first interval that begins behind this one.
        var left = 0
        var right = done.count
        while left < right {
            let middle = (left + right) / 2
            if done[middle].lowerBound < range.lowerBound { left = middle + 1 } else { right = middle }
        }
        let joinsBefore = left > 0 && done[left - 1].upperBound == range.lowerBound
        let joinsAfter = left < done.count && done[left].lowerBound == range.upperBound
        switch (joinsBefore, joinsAfter) {
        case (true, true):
            done[left - 1] = done[left - 1].lowerBound..<done[left].upperBound
            done.remove(at: left)
        case (true, false): done[left - 1] = done[left - 1].lowerBound..<range.upperBound
        case (false, true): done[left] = range.lowerBound..<done[left].upperBound
        case (false, false): done.insert(range, at: left)
        }
    }
}
