/// Writes the Prometheus text exposition format 0.0.4.
///
/// Source: prometheus.io/docs/instrumenting/exposition_formats (text-based format).
struct PrometheusText {
    private(set) var bytes: [UInt8] = []

    static func isMetricName(_ name: String) -> Bool {
        isName(name) { $0 == UInt8(ascii: ":") }
    }

    /// Names that begin with two underscores are Prometheus's own.
    static func isLabelName(_ name: String) -> Bool {
        !name.hasPrefix("__") && isName(name) { _ in false }
    }

    private static func isName(_ name: String, orByte allowed: (UInt8) -> Bool) -> Bool {
        var first = true
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): break
            case UInt8(ascii: "0")...UInt8(ascii: "9"): if first { return false }
            default: if !allowed(byte) { return false }
            }
            first = false
        }
        return !first
    }

    mutating func header(name: String, type: String, help: String) {
        put("# HELP ")
        put(name)
        put(" ")
        putEscaped(help, quotes: false)
        put("\n# TYPE ")
        put(name)
        put(" ")
        put(type)
        put("\n")
    }

    mutating func sample(_ name: String, labels: [(name: String, value: String)], _ value: Double) {
        start(name, labels: labels)
        put(Self.number(value))
        put("\n")
    }

    mutating func sample(
        _ name: String, labels: [(name: String, value: String)], _ value: UInt64, dividedBy divisor: UInt64
    ) {
        start(name, labels: labels)
        put(divisor == 1 ? String(value) : Self.number(Double(value) / Double(divisor)))
        put("\n")
    }

    mutating func histogram(_ name: String, labels: [(name: String, value: String)], _ histogram: Histogram) {
        let (counts, sum) = histogram.snapshot()
        var total: UInt64 = 0
        for (index, count) in counts.enumerated() {
            total &+= count
            let bound = index < histogram.bounds.count ? Self.number(histogram.bounds[index]) : "+Inf"
            sample(name + "_bucket", labels: labels + [(name: "le", value: bound)], total, dividedBy: 1)
        }
        sample(name + "_sum", labels: labels, sum)
        sample(name + "_count", labels: labels, total, dividedBy: 1)
    }

    /// A number as Go reads it: whole ones without a point, as Prometheus itself writes them.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
        return "\(value)"
    }

    private mutating func start(_ name: String, labels: [(name: String, value: String)]) {
        put(name)
        var separator = "{"
        for label in labels {
            put(separator)
            put(label.name)
            put("=\"")
            putEscaped(label.value, quotes: true)
            put("\"")
            separator = ","
        }
        put(labels.isEmpty ? " " : "} ")
    }

    private mutating func put(_ text: String) { bytes.append(contentsOf: text.utf8) }

    private mutating func putEscaped(_ text: String, quotes: Bool) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): put("\\\\")
            case UInt8(ascii: "\n"): put("\\n")
            case UInt8(ascii: "\"") where quotes: put("\\\"")
            default: bytes.append(byte)
            }
        }
    }
}
