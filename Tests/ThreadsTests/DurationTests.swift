import SMSBridgeThreads
import Testing

@Suite struct DurationTests {
    private static let cases: [(Duration, UInt64)] = [
        (.zero, 0), (.seconds(-1), 0), (.nanoseconds(-1), 0), (.nanoseconds(1), 1),
        (.milliseconds(1_500), 1_500_000_000),
        (Duration(secondsComponent: 18_446_744_073, attosecondsComponent: 709_551_615_000_000_000), UInt64.max),
        (Duration(secondsComponent: 18_446_744_073, attosecondsComponent: 999_999_999_000_000_000), UInt64.max),
        (Duration(secondsComponent: .max, attosecondsComponent: 0), UInt64.max),
    ]

    @Test(arguments: cases)
    func nanosecondsAreWholeAndWithinTheirBounds(duration: Duration, expected: UInt64) {
        #expect(duration.nanoseconds == expected)
    }
}
