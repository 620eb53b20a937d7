extension Array where Element == String {
    /// `reply, test or quarantine`.
    var alternatives: String {
        guard let last, count > 1 else { return joined() }
        return dropLast().joined(separator: ", ") + " or " + last
    }
}
