public import SMSPortalEvents

#if canImport(FoundationEssentials)
public import FoundationEssentials
#else
public import Foundation
#endif

extension EventTime {
    /// The moment of a date, rounded to milliseconds; a date beyond the years 0000 to 9999 becomes the nearest moment within.
    public init(_ date: Date) {
        let milliseconds = (date.timeIntervalSince1970 * 1_000).rounded()
        self.init(
            millisecondsSinceEpoch: Int64(exactly: milliseconds) ?? (milliseconds > 0 ? Int64.max : Int64.min))
    }

    /// The moment as a date.
    public var date: Date { Date(timeIntervalSince1970: Double(millisecondsSinceEpoch) / 1_000) }
}

extension EventConsumer.Configuration.Position {
    /// The first event that the bridge received at this date or later.
    public static func at(_ date: Date) -> Self { .at(EventTime(date)) }
}

extension Replay.Position {
    /// When the bridge received the event, or when it occurred, as ``Replay/Selection/time-swift.property`` says.
    public static func time(_ date: Date) -> Self { .time(EventTime(date)) }
}
