/// A strict reader of the Prometheus text format 0.0.4, written from its description: what it takes, any scraper takes.
struct ExpositionParser {
    struct Sample: Equatable {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    struct Family {
        var help: String
        var type: String
        var samples: [Sample] = []
    }

    struct Wrong: Error, CustomStringConvertible {
        var description: String
    }

    private(set) var families: [String: Family] = [:]
    private(set) var order: [String] = []

    static func parse(_ bytes: [UInt8]) throws -> ExpositionParser {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Wrong(description: "not UTF-8") }
        var parser = ExpositionParser()
        if text.isEmpty { return parser }
        guard text.hasSuffix("\n") else { throw Wrong(description: "the last line does not end") }
        var help: (name: String, text: String)?
        var current: String?
        var seen: Set<String> = []
        for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("# HELP ") {
                let rest = line.dropFirst(7)
                guard help == nil, let space = rest.firstIndex(of: " ") else { throw Wrong(description: String(line)) }
                help = (String(rest[..<space]), String(rest[rest.index(after: space)...]))
            } else if line.hasPrefix("# TYPE ") {
                let words = line.dropFirst(7).split(separator: " ", omittingEmptySubsequences: false)
                guard words.count == 2, let given = help, given.name == words[0],
                    ["counter", "gauge", "histogram"].contains(words[1])
                else { throw Wrong(description: "TYPE without its HELP: \(line)") }
                help = nil
                guard parser.families[given.name] == nil else { throw Wrong(description: "twice: \(given.name)") }
                parser.families[given.name] = Family(help: given.text, type: String(words[1]))
                parser.order.append(given.name)
                current = given.name
            } else {
                let sample = try parser.sample(line)
                guard help == nil, let family = current, let type = parser.families[family]?.type else {
                    throw Wrong(description: "a sample without a family: \(line)")
                }
                let allowed = type == "histogram" ? ["_bucket", "_sum", "_count"].map { family + $0 } : [family]
                guard allowed.contains(sample.name) else {
                    throw Wrong(description: "\(sample.name) within \(family)")
                }
                let identity = sample.name + sample.labels.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }.joined()
                guard seen.insert(identity).inserted else { throw Wrong(description: "twice: \(line)") }
                parser.families[family]?.samples.append(sample)
            }
        }
        for (name, family) in parser.families where family.type == "histogram" {
            try parser.check(histogram: name, family)
        }
        return parser
    }

    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        families.values.lazy.flatMap(\.samples).first { $0.name == name && $0.labels == labels }?.value
    }

    private func check(histogram name: String, _ family: Family) throws {
        let buckets = family.samples.filter { $0.name == name + "_bucket" }
        let groups = Dictionary(grouping: buckets) { sample in
            var labels = sample.labels
            labels["le"] = nil
            return labels
        }
        for (labels, buckets) in groups {
            let bounds = try buckets.map { bucket in
                guard let text = bucket.labels["le"], let bound = Self.number(text[...]) else {
                    throw Wrong(description: "a bucket of \(name) without bound")
                }
                return bound
            }
            guard bounds == bounds.sorted(), bounds.last == .infinity else {
                throw Wrong(description: "the bounds of \(name) do not ascend to +Inf")
            }
            let counts = buckets.map(\.value)
            guard counts == counts.sorted() else { throw Wrong(description: "\(name) is not cumulative") }
            guard value(name + "_count", labels) == counts.last, value(name + "_sum", labels) != nil else {
                throw Wrong(description: "\(name)_count is not the last bucket")
            }
        }
    }

    private func sample(_ line: Substring) throws -> Sample {
        let wrong = Wrong(description: "not a sample: \(line)")
        var rest = line
        func isName(_ character: Character, first: Bool) -> Bool {
            character.isASCII && (character.isLetter || "_:".contains(character) || !first && character.isNumber)
        }
        func takeName() throws -> String {
            guard let first = rest.first, isName(first, first: true) else { throw wrong }
            let name = rest.prefix { isName($0, first: false) }
            rest = rest.dropFirst(name.count)
            return String(name)
        }
        let name = try takeName()
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest.removeFirst()
            while true {
                let label = try takeName()
                guard rest.hasPrefix("=\"") else { throw wrong }
                rest = rest.dropFirst(2)
                var value = ""
                while let character = rest.popFirst(), character != "\"" {
                    if character == "\\" {
                        switch rest.popFirst() {
                        case "\\": value += "\\"
                        case "\"": value += "\""
                        case "n": value += "\n"
                        default: throw wrong
                        }
                    } else {
                        value.append(character)
                    }
                }
                guard labels.updateValue(value, forKey: label) == nil else { throw wrong }
                let next = rest.popFirst()
                if next == "}" { break }
                guard next == "," else { throw wrong }
            }
        }
        guard rest.popFirst() == " ", let value = Self.number(rest) else { throw wrong }
        return Sample(name: name, labels: labels, value: value)
    }

    private static func number(_ text: Substring) -> Double? {
        switch text {
        case "+Inf": .infinity
        case "-Inf": -.infinity
        case "NaN": .nan
        default: text.allSatisfy { "0123456789.e+-".contains($0) } ? Double(text) : nil
        }
    }
}
