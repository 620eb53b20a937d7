import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSPortalEvents

/// A place in time as people write it.
struct ReplayTime: Sendable {
    /// As written: a name of a replay is for one of it.
    let text: String
    let point: ReplayPoint
    /// Whether it is an age: another time whenever it is read.
    var isAge = false
}

extension ValueType where Value == ReplayTime {
    /// `2026-11-17T00:00:00Z`, an age such as `2h`, `earliest`, `now`, or `offset:N`.
    static let replayTime = ValueType(
        "time",
        expected: "a time in UTC such as 2026-11-17T00:00:00Z, an age such as 2h or 7d, earliest, now, or offset:N",
        show: { $0.text },
        parse: { text throws(WrongValue) in
            func time(_ point: ReplayPoint) -> ReplayTime { ReplayTime(text: text, point: point) }
            switch text {
            case "earliest": return time(.earliest)
            case "now": return time(.now)
            default: break
            }
            if text.hasPrefix("offset:") {
                guard let offset = Int64(text.dropFirst(7)), offset >= 0 else { throw WrongValue() }
                return time(.offset(offset))
            }
            if let moment = EventTime(rfc3339: text) { return time(.time(moment.millisecondsSinceEpoch)) }
            if text.contains("T") || text.contains("-") {
                throw WrongValue("times are in UTC and end in Z, seconds included")
            }
            let age = try ValueType<Duration>.duration(.milliseconds(1)...(.seconds(10 * 365 * 86_400))).parse(text)
            return ReplayTime(
                text: text, point: .time(wallClockMilliseconds() - Int64(age / .milliseconds(1))), isAge: true)
        })
}
