/// Which records of a partition are done with: all below an offset, and some above it.
///
/// Its text is what a committed offset may carry as metadata: `1`, then for each stretch above the offset how many open ones
/// come before it and how many done ones it has, in base 36: `1 1.3 2.1`.
struct DoneOffsets: Equatable {
    /// Everything below is done.
    private(set) var low: Int64
    /// Done above `low`: ascending, apart from each other.
    private(set) var stretches: [Range<Int64>] = []

    /// As much metadata as a broker takes (`offset.metadata.max.bytes`).
    static let longestText = 4_096

    init(low: Int64 = 0) { self.low = low }

    func contains(_ offset: Int64) -> Bool {
        offset < low || stretches.contains { $0.contains(offset) }
    }

    mutating func insert(_ offset: Int64) {
        guard !contains(offset) else { return }
        let index = stretches.firstIndex { $0.lowerBound > offset } ?? stretches.count
        stretches.insert(offset..<offset + 1, at: index)
        if index + 1 < stretches.count, stretches[index + 1].lowerBound == offset + 1 {
            stretches[index] = offset..<stretches[index + 1].upperBound
            stretches.remove(at: index + 1)
        }
        if index > 0, stretches[index - 1].upperBound == offset {
            stretches[index - 1] = stretches[index - 1].lowerBound..<stretches[index].upperBound
            stretches.remove(at: index)
        }
        settle()
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
        var words = ["1"]
        var at = low
        for stretch in stretches {
            words.append(String(stretch.lowerBound - at, radix: 36) + "." + String(stretch.count, radix: 36))
            at = stretch.upperBound
        }
        return words.joined(separator: " ")
    }

    /// - Returns: nil when the text is none of ours.
    init?(low: Int64, text: String) {
        self.low = low
        let words = text.split(separator: " ")
        guard words.first == "1" else { return nil }
        var at = low
        for word in words.dropFirst() {
            let parts = word.split(separator: ".").map { Int64($0, radix: 36) }
            guard parts.count == 2, let open = parts[0], let done = parts[1], open > 0, done > 0 else { return nil }
            // Anybody who may write to the group may have written it.
            let (start, isTooFar) = at.addingReportingOverflow(open)
            let (end, isTooLong) = start.addingReportingOverflow(done)
            guard !isTooFar, !isTooLong else { return nil }
            stretches.append(start..<end)
            at = end
        }
    }
}
