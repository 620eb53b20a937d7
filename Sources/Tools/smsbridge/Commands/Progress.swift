#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// How far long work is, on standard error: a bar on a terminal, else a plain line now and then. No colours.
struct Progress {
    private let what: String
    private let total: Int64
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let began = ContinuousClock.now
    private var last = ContinuousClock.now
    private var hasBar = false

    init(_ what: String, total: Int64) {
        self.what = what
        self.total = total
    }

    /// - Parameter detail: what to add to the line.
    mutating func update(_ done: Int64, detail: () -> String = { "" }) {
        let (what, total) = (what, total)
        let rate = Double(done) / max(0.001, began.duration(to: .now) / .seconds(1))
        guard total > 0 else { return update(share: nil) { "\(what) \(done)\(detail()), \(Int(rate))/s" } }
        let share = min(1, Double(max(0, done)) / Double(total))
        update(share: share) {
            let left = rate > 0 ? ", \(Self.text(seconds: Double(max(0, total - done)) / rate)) left" : ""
            return "\(what) \(done) of \(total) (\(Int(share * 100)) %)\(detail()), \(Int(rate))/s\(left)"
        }
    }

    /// `45s`, `3m20s`, `2h05m`.
    static func text(seconds: Double) -> String {
        let seconds = Int(min(max(0, seconds), 1e9).rounded(.up))
        func pair(_ number: Int) -> String { (number < 10 ? "0" : "") + String(number) }
        switch seconds {
        case ..<60: return "\(seconds)s"
        case ..<3_600: return "\(seconds / 60)m\(pair(seconds % 60))s"
        default: return "\(seconds / 3_600)h\(pair(seconds / 60 % 60))m"
        }
    }

    /// - Parameter share: the completed share of the work, 0 to 1; nil when the total is unknown.
    mutating func update(share: Double?, _ say: () -> String) {
        guard last.duration(to: .now) >= (isTerminal ? .milliseconds(200) : .seconds(10)) else { return }
        last = .now
        let text = say()
        guard isTerminal else { return Output.error(text + "\n") }
        var bar = ""
        if let share {
            let filled = Int(min(1, max(0, share)) * 30)
            bar = "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled) + "] "
        }
        Output.error("\r\(bar)\(text)\u{1B}[K")
        hasBar = true
    }

    /// Clears the bar, so that the next output starts on a line of its own.
    mutating func end() {
        if hasBar { Output.error("\r\u{1B}[K") }
        hasBar = false
    }
}
