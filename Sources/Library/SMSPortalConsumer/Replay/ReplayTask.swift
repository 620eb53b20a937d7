internal import SMSBridgeKafka
internal import SMSBridgeReplaying
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import SMSPortalEvents
internal import Synchronization

/// What a run of the consumer needs to know when it is a replay.
struct ReplayTask: Sendable {
    let name: String
    let selection: Replay.Selection
    let tally: ReplayTally
    /// Counts and handles nothing.
    let isDryRun: Bool
    let report: @Sendable (ReplayProgress) -> Void

    /// The window of record times to read, and the window of the vendor's, which decides where there is one.
    let window: ReplayWindow
    let occurrence: ReplayWindow?
    private let keys: Set<[UInt8]>?

    init(
        name: String, selection: Replay.Selection, tally: ReplayTally, isDryRun: Bool,
        report: @escaping @Sendable (ReplayProgress) -> Void
    ) {
        self.name = name
        self.selection = selection
        self.tally = tally
        self.isDryRun = isDryRun
        self.report = report
        let now = wallClockMilliseconds()
        func point(_ position: Replay.Position) -> ReplayPoint {
            switch position {
            case .earliest: .earliest
            case .now: .now
            case .time(let time): .time(time.millisecondsSinceEpoch)
            case .ago(let duration): .time(now - Int64(duration.nanoseconds / 1_000_000))
            case .offset(let offset): .offset(offset)
            }
        }
        let asked = ReplayWindow(
            from: point(selection.from), to: point(selection.to),
            maxLateness: selection.maxLateness.map { Int64($0.nanoseconds / 1_000_000) })
        occurrence = selection.time == .occurred ? asked : nil
        window = selection.time == .occurred ? asked.readForOccurrence : asked
        keys = selection.msisdns.map { Set($0.map { Array($0.utf8) }) }
    }

    /// The problems, each with the name of the parameter.
    func problems() -> [String] {
        var problems: [String] = []
        let isName =
            (1...100).contains(name.utf8.count)
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) }
        if !isName { problems.append("the replay's name '\(name)' is not 1 to 100 letters, digits, '.', '_' and '-'") }
        if name == EventClaimKey.live { problems.append("the replay's name is 'live', which is no replay") }
        if let rate = selection.eventsPerSecond, rate < 1 {
            problems.append("eventsPerSecond: \(rate) is not at least 1")
        }
        if let problem = (occurrence ?? window).problem { problems.append(problem) }
        if occurrence != nil, selection.maxLateness != nil {
            problems.append("maxLateness requires the time received")
        }
        if occurrence != nil, selection.from.isAge || selection.to.isAge {
            problems.append("an age goes with the time received; with the time occurred, give times")
        }
        return problems
    }

    func group(of configuration: EventConsumer.Configuration) -> String { "\(configuration.group)-replay-\(name)" }

    /// The selection, as far as it is known from outside: a name belongs to one selection.
    func checkpoint(_ configuration: EventConsumer.Configuration, topics: [String]) -> ReplayCheckpoint {
        let numbers = selection.msisdns?.sorted().joined(separator: ",") ?? "*"
        return ReplayCheckpoint(
            group: group(of: configuration),
            selection:
                "\(topics.sorted().joined(separator: ",")) \(selection.from) \(selection.to) \(selection.time) \(numbers)"
        )
    }

    /// Whether a record of the window may be included, as far as its key tells.
    func mayInclude(_ message: PolledMessage) -> Bool {
        guard let keys else { return true }
        return message.key.map { keys.contains(Array($0)) } ?? false
    }

    func includes(_ event: Event) -> Bool {
        if let occurrence {
            let time = event.envelope.occurredAt ?? event.receivedAt
            guard occurrence.contains(time.millisecondsSinceEpoch) else { return false }
        }
        if let types = selection.types, !types.contains(event.type) { return false }
        return selection.isIncluded?(event) ?? true
    }
}

extension Replay.Position {
    fileprivate var isAge: Bool { if case .ago = self { true } else { false } }
}

/// What a replay has done so far; the handlers and the polling thread write it.
final class ReplayTally: Sendable {
    private let state = Mutex(ReplayProgress())

    var progress: ReplayProgress { state.withLock { $0 } }

    func handled() { state.withLock { $0.handled += 1 } }
    func failed() { state.withLock { $0.failed += 1 } }
    func update(_ body: (inout ReplayProgress) -> Void) { state.withLock { body(&$0) } }
}

/// Lets no more events through than a rate allows, evenly.
struct Pacer {
    private let interval: UInt64?
    private var next: UInt64 = 0

    init(eventsPerSecond: Int?) {
        interval = eventsPerSecond.map { 1_000_000_000 / UInt64(max(1, $0)) }
    }

    /// How many may be taken at once, so that the rate holds over a tenth of a second.
    func burst(_ limit: Int) -> Int {
        guard let interval, interval > 0 else { return limit }
        return max(1, min(limit, Int(100_000_000 / interval)))
    }

    /// When the next may be taken; nil for now.
    func wait(now: UInt64) -> UInt64? { interval != nil && next > now ? next : nil }

    mutating func took(_ count: Int, now: UInt64) {
        if let interval { next = max(now, next) + UInt64(count) * interval }
    }
}
