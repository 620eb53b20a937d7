extension Duration {
    /// Whole nanoseconds, as clocks count them; a negative duration is 0, and what 64 bits do not hold is
    /// their largest value.
    package var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (product, isTooLarge) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow) = product.addingReportingOverflow(UInt64(attoseconds / 1_000_000_000))
        return isTooLarge || overflow ? .max : sum
    }
}
