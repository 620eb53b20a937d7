/// The processed records of a partition: all below an offset, and some above it.
///
/// Its text is `1`, the offset, the time of the newest processed record, then for each range above the offset how
/// many open ones come before it and how many done ones it has, all in base 36: `1 2s m3xk2c00 1.3 2.1`.
struct DoneOffsets: Equatable {
    /// Everything below is done.
    private(set) var low: Int64
    /// Done above `low`: ascending, apart from each other.
    private(set) var stretches: [Range<Int64>] = []
    /// No processed record has a later timestamp, in milliseconds. One that has, at an offset that is done, is of a
    /// topic that was made again.
    private(set) var newest: Int64 = 0

    /// So many stretches fit into a record of Kafka's standard size, 1 MiB, whatever lies between them.
    static let mostStretches = 65_536

    init(low: Int64 = 0) { self.low = low }

    /// The first stretch that begins above an offset.
    private func index(above offset: Int64) -> Int {
        var range = stretches.startIndex..<stretches.endIndex
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            if stretches[middle].lowerBound > offset {
                range = range.lowerBound..<middle
            } else {
                range = middle + 1..<range.upperBound
            }
        }
        return range.lowerBound
    }

    func contains(_ offset: Int64) -> Bool {
        guard offset >= low else { return true }
        let index = index(above: offset)
        return index > 0 && stretches[index - 1].contains(offset)
    }

    /// - Returns: false, and nothing is changed, when too many stretches would lie apart from each other.
    mutating func insert(_ offset: Int64, time: Int64) -> Bool {
        guard !contains(offset) else { return true }
        let index = index(above: offset)
        let endsStretch = index > 0 && stretches[index - 1].upperBound == offset
        let beginsStretch = index < stretches.count && stretches[index].lowerBound - 1 == offset
        switch (endsStretch, beginsStretch) {
        case (true, true):
            stretches[index - 1] = stretches[index - 1].lowerBound..<stretches[index].upperBound
            stretches.remove(at: index)
        case (true, false): stretches[index - 1] = stretches[index - 1].lowerBound..<offset + 1
        case (false, true): stretches[index] = offset..<stretches[index].upperBound
        case (false, false):
            guard offset == low || stretches.count < Self.mostStretches else { return false }
            stretches.insert(offset..<offset + 1, at: index)
        }
        newest = max(newest, time)
        settle()
        return true
    }

    /// Offsets below this one that no record has are done: they were deleted.
    mutating func begin(at offset: Int64) {
        low = max(low, offset)
        stretches.removeAll { $0.upperBound <= low }
        settle()
    }

    private mutating func settle() {
        while let first = stretches.first, first.lowerBound <= low {
            low = max(low, first.upperBound)
            stretches.removeFirst()
        }
    }

    var text: String {
        var words = ["1", String(low, radix: 36), String(newest, radix: 36)]
        var at = low
        for stretch in stretches {
            words.append(String(stretch.lowerBound - at, radix: 36) + "." + String(stretch.count, radix: 36))
            at = stretch.upperBound
        }
        return words.joined(separator: " ")
    }

    /// - Returns: nil when the text is none of ours.
    init?(text: String) {
        let words = text.split(separator: " ")
        guard words.count >= 3, words[0] == "1", let low = Int64(words[1], radix: 36), low >= 0,
            let newest = Int64(words[2], radix: 36), newest >= 0
        else { return nil }
        self.low = low
        self.newest = newest
        var at = low
        for word in words.dropFirst(3) {
            let parts = word.split(separator: ".").map { Int64($0, radix: 36) }
            guard parts.count == 2, let open = parts[0], let done = parts[1], open > 0, done > 0 else { return nil }
            // Anybody who may write to the topic may have written it.
            let (start, isTooFar) = at.addingReportingOverflow(open)
            let (end, isTooLong) = start.addingReportingOverflow(done)
            guard !isTooFar, !isTooLong else { return nil }
            stretches.append(start..<end)
            at = end
        }
    }
}
