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
    private var last = ContinuousClock.now
    private var hasBar = false

    init(_ what: String, total: Int64) {
        self.what = what
        self.total = total
    }

    mutating func update(_ done: Int64) {
        let (what, total) = (what, total)
        guard total > 0 else { return update(share: nil) { "\(what) \(done)" } }
        let share = min(1, Double(max(0, done)) / Double(total))
        update(share: share) { "\(what) \(done) of \(total) (\(Int(share * 100)) %)" }
    }

    /// - Parameter share: how much of the work is done, 0 to 1; nil where nobody knows its end.
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

    /// Takes the bar away, so that what follows stands on a line of its own.
    mutating func end() {
        if hasBar { Output.error("\r\u{1B}[K") }
        hasBar = false
    }
}
