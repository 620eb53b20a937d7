/// The name that was probably meant: few letters differ, or only case and separators.
///
/// - Returns: nil when nothing is near.
package func nearestName(to name: String, among candidates: some Sequence<String>) -> String? {
    let wanted = comparable(name)
    guard !wanted.isEmpty, wanted.count <= 128 else { return nil }
    var best: (name: String, distance: Int)?
    for candidate in candidates {
        let other = comparable(candidate)
        let limit = max(1, min(3, min(wanted.count, other.count) / 3))
        guard abs(wanted.count - other.count) <= limit else { continue }
        let distance = editDistance(wanted, other)
        if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    return best?.name
}

private func comparable(_ name: String) -> [UInt8] {
    name.lowercased().utf8.filter { !"-_. ".utf8.contains($0) }
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
private func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var beforeLast = [Int](repeating: 0, count: right.count + 1)
    var last = Array(0...right.count)
    for (row, byte) in left.enumerated() {
        var current = [row + 1]
        current.reserveCapacity(right.count + 1)
        for (column, other) in right.enumerated() {
            var cost = min(current[column] + 1, last[column + 1] + 1, last[column] + (byte == other ? 0 : 1))
            if row > 0, column > 0, byte == right[column - 1], left[row - 1] == other {
                cost = min(cost, beforeLast[column - 1] + 1)
            }
            current.append(cost)
        }
        beforeLast = last
        last = current
    }
    return last[right.count]
}
