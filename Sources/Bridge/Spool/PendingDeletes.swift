/// Rows that are not needed any more and whose delete is not committed, because the disk does not take it.
///
/// They are left out of every read and of the totals, and are deleted when the disk allows it. A crash forgets them: then
/// they are sent once more, as duplicates. Deletes with no other row between them share a range, so a drain in order takes
/// one range for each topic queue.
struct PendingDeletes {
    /// Ranges of all queues together, 16 bytes each. A delete beyond that is not remembered: its row is read, and sent, again.
    static let maxRanges = 100_000

    private var ranges: [[ClosedRange<Int64>]]
    private var rangeCount = 0
    /// What the file has of these rows; a lower bound where `isExact` is false.
    private(set) var totals: [SpoolTotals]
    /// Whether the totals are known: a row cannot be measured while the file cannot be read.
    private(set) var isExact: [Bool]

    init(lanes: Int) {
        ranges = Array(repeating: [], count: lanes)
        totals = Array(repeating: SpoolTotals(), count: lanes)
        isExact = Array(repeating: true, count: lanes)
    }

    var isEmpty: Bool { rangeCount == 0 }
    var rows: Int64 { totals.reduce(0) { $0 + $1.rows } }

    /// The first range of the first queue that has one.
    var first: (lane: Int, range: ClosedRange<Int64>)? {
        for (lane, ranges) in ranges.enumerated() { if let range = ranges.first { return (lane, range) } }
        return nil
    }

    /// The index of the first range that does not end before a number.
    private func index(of number: Int64, in lane: Int) -> Int {
        var (low, high) = (0, ranges[lane].count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[lane][middle].upperBound < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The range that holds a number; nil when its row is not to be deleted.
    func range(holding number: Int64, lane: Int) -> ClosedRange<Int64>? {
        guard rangeCount > 0 else { return nil }
        let index = index(of: number, in: lane)
        guard index < ranges[lane].count, ranges[lane][index].contains(number) else { return nil }
        return ranges[lane][index]
    }

    /// Remembers a delete.
    ///
    /// - Parameters:
    ///   - bytes: what the row counts in the totals; nil when it cannot be measured.
    ///   - isGap: whether the file has no row between two numbers, both excluded.
    mutating func add(
        _ number: Int64, lane: Int, bytes: Int64?, isGap: (_ after: Int64, _ before: Int64) -> Bool
    ) {
        var index = index(of: number, in: lane)
        if index < ranges[lane].count, ranges[lane][index].contains(number) { return }
        var range = number...number
        var (first, end) = (index, index)
        if index > 0, isGap(ranges[lane][index - 1].upperBound, number) {
            first -= 1
            range = ranges[lane][first].lowerBound...number
        }
        if index < ranges[lane].count, isGap(number, ranges[lane][index].lowerBound) {
            range = range.lowerBound...ranges[lane][index].upperBound
            end += 1
        }
        guard end > first || rangeCount < Self.maxRanges else { return }
        ranges[lane].replaceSubrange(first..<end, with: CollectionOfOne(range))
        rangeCount += 1 - (end - first)
        index = first
        if let bytes {
            totals[lane].rows += 1
            totals[lane].bytes += bytes
        } else {
            isExact[lane] = false
        }
    }

    /// A row with this number, between two that are to be deleted, is in the file now.
    mutating func keep(_ number: Int64, lane: Int) {
        guard let range = range(holding: number, lane: lane) else { return }
        let index = index(of: number, in: lane)
        var parts: [ClosedRange<Int64>] = []
        if range.lowerBound < number { parts.append(range.lowerBound...number - 1) }
        if range.upperBound > number { parts.append(number + 1...range.upperBound) }
        ranges[lane].replaceSubrange(index...index, with: parts)
        rangeCount += parts.count - 1
    }

    /// The rows of a queue up to this number are deleted: so much of the totals.
    mutating func committed(through number: Int64, lane: Int, _ deleted: SpoolTotals) {
        while let range = ranges[lane].first, range.lowerBound <= number {
            if range.upperBound <= number {
                ranges[lane].removeFirst()
                rangeCount -= 1
            } else {
                ranges[lane][0] = number + 1...range.upperBound
            }
        }
        totals[lane].rows = max(0, totals[lane].rows - deleted.rows)
        totals[lane].bytes = max(0, totals[lane].bytes - deleted.bytes)
        if ranges[lane].isEmpty {
            totals[lane] = SpoolTotals()
            isExact[lane] = true
        }
    }

    /// Measures the rows again, in a file that was opened.
    ///
    /// - Parameter measure: what the file has in a range; nil when it cannot be read.
    mutating func measure(_ measure: (_ lane: Int, ClosedRange<Int64>) -> SpoolTotals?) {
        for lane in ranges.indices {
            var sum = SpoolTotals()
            isExact[lane] = true
            for range in ranges[lane] {
                guard let part = measure(lane, range) else {
                    isExact[lane] = false
                    break
                }
                sum.rows += part.rows
                sum.bytes += part.bytes
            }
            totals[lane] = sum
        }
    }
}
