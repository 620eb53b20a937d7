import Foundation

/// The part of JSON Schema 2020-12 that our schemas use. A keyword that it does not know is a failure, not a pass.
struct SchemaValidator {
    private let schema: JSONValue

    init(type: String) throws {
        let file = repository.appendingPathComponent("schemas/\(type).json")
        schema = try JSONValue([UInt8](Data(contentsOf: file)))
    }

    func problems(of value: JSONValue) -> [String] { Self.problems(of: value, schema, at: "$") }

    private static func problems(of value: JSONValue, _ schema: JSONValue, at path: String) -> [String] {
        guard let keywords = schema.object else { return ["\(path): the schema is no object"] }
        var problems: [String] = []
        for (keyword, rule) in keywords {
            switch keyword {
            case "$schema", "title", "description": break
            case "type":
                if !isType(value, rule.string ?? "") { problems.append("\(path): is no \(rule)") }
            case "const":
                if value != rule { problems.append("\(path): is not \(rule)") }
            case "enum":
                if rule.array?.contains(value) != true { problems.append("\(path): \(value) is none of \(rule)") }
            case "pattern":
                guard let text = value.string else { continue }
                guard let pattern = rule.string, let regex = try? Regex(pattern) else { return ["bad pattern"] }
                if (try? regex.wholeMatch(in: text)) == nil { problems.append("\(path): \(text) misses \(pattern)") }
            case "maxLength":
                guard let text = value.string, case .number(let limit) = rule else { continue }
                if text.unicodeScalars.count > Int(limit) ?? 0 { problems.append("\(path): too long") }
            case "minimum":
                guard case .number(let number) = value, case .number(let limit) = rule else { continue }
                if (Double(number) ?? 0) < (Double(limit) ?? 0) { problems.append("\(path): below \(limit)") }
            case "required":
                guard let members = value.object else { continue }
                for name in rule.array ?? [] where members[name.string ?? ""] == nil {
                    problems.append("\(path): \(name) is missing")
                }
            case "properties":
                for (name, member) in value.object ?? [:] {
                    if let rule = rule[name] { problems += Self.problems(of: member, rule, at: "\(path).\(name)") }
                }
            case "additionalProperties":
                guard rule == .bool(false) else { return ["\(path): additionalProperties other than false"] }
                for name in (value.object ?? [:]).keys where schema["properties"]?[name] == nil {
                    problems.append("\(path): \(name) is unknown")
                }
            case "allOf":
                for rule in rule.array ?? [] { problems += Self.problems(of: value, rule, at: path) }
            case "not":
                if Self.problems(of: value, rule, at: path).isEmpty {
                    problems.append("\(path): is what it must not be")
                }
            default: problems.append("\(path): unknown keyword \(keyword)")
            }
        }
        return problems
    }

    private static func isType(_ value: JSONValue, _ type: String) -> Bool {
        switch (value, type) {
        case (.object, "object"), (.string, "string"), (.bool, "boolean"), (.array, "array"): true
        case (.number(let text), "integer"): Int(text) != nil
        default: false
        }
    }
}

/// The top of the checkout.
let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
