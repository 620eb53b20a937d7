import SMSBridgeReplaying
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSPortalEvents

/// A boundary of a window as people write it.
struct ReplayTime: Sendable {
    /// As written: the name of a replay belongs to one of it.
    let text: String
    let value: Value

    enum Value: Sendable, Hashable {
        case earliest, now
        case offset(Int64)
        /// Milliseconds since 1970.
        case moment(Int64)
        /// Milliseconds before now: another time whenever it is read.
        case age(Int64)
        /// A date, or a time without an offset.
        case local(LocalTime)
    }

    /// - Parameter now: milliseconds since 1970, the same for all boundaries of a command.
    /// - Throws: `WrongValue` where the zone has no such time, or has it twice.
    func point(in zone: CommandTimeZone, now: Int64) throws(WrongValue) -> ReplayPoint {
        switch value {
        case .earliest: .earliest
        case .now: .now
        case .offset(let offset): .offset(offset)
        case .moment(let moment): .time(moment)
        case .age(let age): .time(now - age)
        case .local(let local): .time(try zone.milliseconds(of: local))
        }
    }
}

extension ValueType where Value == ReplayTime {
    /// RFC 3339, a date, an age such as `2h`, `earliest`, `now`, or `offset:N`.
    static let replayTime = ValueType(
        "time",
        expected:
            "a time such as 2026-11-17T00:00:00+02:00 or 2026-11-17T08:30, a date, an age such as 2h or 7d, earliest, now, or "
            + "offset:N",
        show: { $0.text },
        parse: { text throws(WrongValue) in
            func time(_ value: ReplayTime.Value) -> ReplayTime { ReplayTime(text: text, value: value) }
            switch text {
            case "earliest": return time(.earliest)
            case "now": return time(.now)
            default: break
            }
            if text.hasPrefix("offset:") {
                guard let offset = Int64(text.dropFirst(7)), offset >= 0 else { throw WrongValue() }
                return time(.offset(offset))
            }
            if let local = LocalTime(text) { return time(.local(local)) }
            if let moment = moment(text) { return time(.moment(moment)) }
            if text.dropFirst().contains(where: { "-T:".contains($0) }) {
                throw WrongValue("that is no time of RFC 3339, and no date")
            }
            let age = try ValueType<Duration>.duration(.milliseconds(1)...(.seconds(10 * 365 * 86_400))).parse(text)
            return time(.age(Int64(age / .milliseconds(1))))
        })

    /// RFC 3339 with its offset.
    private static func moment(_ text: String) -> Int64? {
        if text.hasSuffix("Z") || text.hasSuffix("z") { return LocalTime.utcMilliseconds(text.dropLast()) }
        guard text.utf8.count > 6, let offset = CommandTimeZone.offset(text.suffix(6)) else { return nil }
        return LocalTime.utcMilliseconds(text.dropLast(6)).map { $0 - offset * 1_000 }
    }
}

/// The window that a command's `--from`, `--to` and `--time-zone` select, resolved once.
struct CommandWindow: Sendable {
    var window: ReplayWindow
    let zone: CommandTimeZone
    /// When it was resolved, in milliseconds since 1970.
    let now: Int64

    static let timeZone = CommandOption<CommandTimeZone>(
        "--time-zone", "ZONE", .timeZone, help: "Time zone of times without an offset. Default: the machine's.")

    /// Selects the zone for the process and resolves the times. To be called before threads are started.
    ///
    /// - Throws: `WrongValue`, whose text names the flag.
    init(
        _ invocation: Invocation, from: CommandOption<ReplayTime>, to: CommandOption<ReplayTime>
    ) throws(WrongValue) {
        zone = invocation.value(of: Self.timeZone) ?? .machine
        zone.select()
        now = wallClockMilliseconds()
        window = ReplayWindow()
        window.from = try Self.point(from, invocation, zone, now)
        window.to = try Self.point(to, invocation, zone, now)
        if let problem = window.problem { throw WrongValue("\(from.flag), \(to.flag): \(problem)") }
        if case .time(let end) = window.to, end > now {
            throw WrongValue(
                "\(to.flag): \(zone.text(of: end)) is in the future, and its events have not arrived yet; leave it out to end now"
            )
        }
    }

    private static func point(
        _ option: CommandOption<ReplayTime>, _ invocation: Invocation, _ zone: CommandTimeZone, _ now: Int64
    ) throws(WrongValue) -> ReplayPoint {
        let time = invocation.value(of: option) ?? ReplayTime(text: "earliest", value: .earliest)
        do throws(WrongValue) { return try time.point(in: zone, now: now) } catch {
            throw WrongValue("\(option.flag): \(error.detail ?? "")")
        }
    }

    /// `2026-11-23T22:00:00Z to now (Africa/Johannesburg: 2026-11-24T00:00:00+02:00 to now)`.
    func text(_ window: ReplayWindow) -> String {
        func range(_ text: (Int64) -> String) -> String {
            [window.from, window.to].map { point in
                switch point {
                case .earliest: "earliest"
                case .now: "now"
                case .offset(let offset): "offset \(offset)"
                case .time(let time): text(time)
                }
            }.joined(separator: " to ")
        }
        return range { EventTime(millisecondsSinceEpoch: $0).rfc3339 }
            + " (\(zone.name): \(range { zone.text(of: $0) }))"
    }

    /// The window as members of a JSON object.
    func json(_ window: ReplayWindow) -> String {
        func text(_ point: ReplayPoint) -> String {
            switch point {
            case .earliest: "earliest"
            case .now: "now"
            case .offset(let offset): "offset:\(offset)"
            case .time(let time): EventTime(millisecondsSinceEpoch: time).rfc3339
            }
        }
        return "\"from\":\(JSONText.string(text(window.from))),\"to\":\(JSONText.string(text(window.to)))"
    }
}
