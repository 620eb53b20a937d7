/// A small graph of the last hour: an area, or lines, in an inline SVG that scales with its place.
///
/// Lengths of time that have no sample (before the start, or while the process was stopped) are left blank.
struct StatusGraph {
    struct Line {
        let name: String
        /// The class of the style sheet that colours it.
        let style: String
        /// Monotonic nanoseconds and value, in order of time.
        let points: [(at: UInt64, value: Double?)]
    }

    let title: String
    /// What a screen reader says in place of the picture.
    let description: String
    let lines: [Line]
    let now: UInt64
    /// The value at the top; lines are cut there.
    let top: Double
    /// Seconds on a scale of tens, from 1 ms to 1 s, instead of a scale that begins at 0.
    var isLogarithmic = false

    private static let width = 360.0
    private static let height = 72.0
    private static let span = 3_600.0
    /// A longer silence between two samples is a gap.
    private static let longestStep = 45.0

    func write(to html: inout HTML) {
        html.raw("<svg viewBox=\"0 0 360 72\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"")
        html.text(description)
        html.raw("\">")
        let marks = isLogarithmic ? [0.001, 0.01, 0.1].map(height) : [Self.height / 2]
        for mark in marks {
            html.raw("<path class=\"mark\" d=\"M0 \(Self.figure(mark))H360\"/>")
        }
        for line in lines {
            for run in runs(line.points) {
                let path = run.map { "\(Self.figure($0.x)) \(Self.figure($0.y))" }.joined(separator: "L")
                guard let first = run.first, let last = run.last else { continue }
                if !isLogarithmic {
                    html.raw(
                        "<path class=\"area \(line.style)\" d=\"M\(Self.figure(first.x)) 72L\(path)L\(Self.figure(last.x)) 72Z\"/>"
                    )
                }
                html.raw("<path class=\"line \(line.style)\" d=\"M\(path)\"/>")
            }
        }
        html.raw("</svg>")
    }

    private func runs(_ points: [(at: UInt64, value: Double?)]) -> [[(x: Double, y: Double)]] {
        var runs: [[(x: Double, y: Double)]] = []
        var before: UInt64?
        for (at, value) in points {
            let age = Double(now &- at) / 1e9
            guard let value, at <= now, age <= Self.span else {
                before = nil
                continue
            }
            let point = (x: Self.width * (1 - age / Self.span), y: height(of: value))
            if let before, Double(at &- before) / 1e9 <= Self.longestStep {
                runs[runs.count - 1].append(point)
            } else {
                // A sample on its own is as wide as a sample.
                runs.append([(x: max(0, point.x - 1), y: point.y), point])
            }
            before = at
        }
        return runs
    }

    /// From the top.
    private func height(of value: Double) -> Double {
        let share: Double
        if isLogarithmic {
            // 0.3 ms at the bottom, 1 s at the top: three and a half tens.
            var tens = 0.0
            var rest = max(value, 0.000_316) / 0.000_316
            while rest >= 10 {
                rest /= 10
                tens += 1
            }
            share = (tens + Self.log10(rest)) / 3.5
        } else {
            share = top > 0 ? value / top : 0
        }
        return 71 - 70 * min(1, max(0, share))
    }

    /// Of 1 to 10, good to a thousandth: no mathematical library for a picture of 72 points.
    private static func log10(_ value: Double) -> Double {
        let ratio = (value - 1) / (value + 1)
        let square = ratio * ratio
        // The series of the logarithm around 1, in the variable that converges for all positive numbers.
        var term = ratio
        var sum = 0.0
        for odd in stride(from: 1.0, through: 31, by: 2) {
            sum += term / odd
            term *= square
        }
        return 2 * sum / 2.302_585_092_994
    }

    private static func figure(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(abs(tenths % 10))"
    }
}

/// HTML that is being written: what is not ours is escaped.
struct HTML {
    private(set) var bytes: [UInt8] = []

    /// Markup of ours.
    mutating func raw(_ markup: String) { bytes.append(contentsOf: markup.utf8) }

    /// Text, fit for an element's content and for an attribute in double quotes. Control characters are taken out.
    mutating func text(_ text: String) {
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": raw("&amp;")
            case "<": raw("&lt;")
            case ">": raw("&gt;")
            case "\"": raw("&quot;")
            case "'": raw("&#39;")
            case "\n", "\t": raw(" ")
            case "\0"..."\u{1F}", "\u{7F}"..."\u{9F}": continue
            default: bytes.append(contentsOf: String(scalar).utf8)
            }
        }
    }

    /// An element with nothing but text in it.
    mutating func element(_ name: String, class style: String = "", _ content: String) {
        raw(style.isEmpty ? "<\(name)>" : "<\(name) class=\"\(style)\">")
        text(content)
        raw("</\(name)>")
    }
}
