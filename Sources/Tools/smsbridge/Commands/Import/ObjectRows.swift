import SMSBridgeIngress
import SMSPortalEvents

/// NDJSON of plain objects: the body of a callback a line, with the names that the vendor gives the fields, or those of
/// `events.<type>.fields`.
enum ObjectRows {
    static func parse(_ line: [UInt8], _ options: ImportOptions) -> LineRows.ParsedLine {
        guard let members = JSONMember.members(of: line).members else {
            let (_, wrongAt) = JSONMember.members(of: line)
            return .malformed("not a JSON object, byte \(wrongAt + 1)")
        }
        var row = ImportRow(line: 0, route: options.type, contentType: "application/json")
        guard let name = options.receivedAt, members.contains(where: { $0.name == name }) else {
            row.body = line
            return .row(row)
        }
        // It is not a part of the callback, and would change an id that is made from its fields.
        var object = JSONObjectWriter()
        for member in members {
            if member.name == name {
                let text = String(decoding: member.value, as: UTF8.self)
                guard member.kind == .text || member.kind == .literal, let time = ImportTime.milliseconds(text) else {
                    return .malformed("\(name): not a time")
                }
                row.receivedAt = time
            } else if member.kind == .text {
                object.append(Array(member.name.utf8), text: member.value)
            } else {
                object.append(Array(member.name.utf8), source: member.kind == .null ? Array("null".utf8) : member.value)
            }
        }
        row.body = object.end()
        return .row(row)
    }
}

/// NDJSON of callbacks: `method`, `route`, `query`, `body`, `contentType`, `receivedAt`, `account`; also what `raw` of an event has
/// (`queryBase64`, `bodyBase64`).
enum CallbackRows {
    static func parse(_ line: [UInt8], _ options: ImportOptions) -> LineRows.ParsedLine {
        let (found, wrongAt) = JSONMember.members(of: line)
        guard let members = found else { return .malformed("not a JSON object, byte \(wrongAt + 1)") }
        var row = ImportRow(line: 0, route: options.type)
        var method: String?
        for member in members where member.kind != .null {
            let text = member.text
            switch member.name {
            case "method": method = text?.uppercased()
            case "route":
                guard let text, let route = WebhookPath(text, basePath: options.basePath) else {
                    return .malformed("route: neither a webhook path nor an event type")
                }
                row.route = route.type ?? options.type
            case "query":
                guard let text else { return .malformed("query: not text") }
                row.query = Array(text.hasPrefix("?") ? text.dropFirst().utf8 : text[...].utf8)
            case "queryBase64", "bodyBase64":
                guard let bytes = text.flatMap(Base64Text.decode) else {
                    return .malformed("\(member.name): not Base64")
                }
                if member.name == "queryBase64" { row.query = bytes } else { row.body = bytes }
            case "body":
                guard member.kind != .literal else { return .malformed("body: neither text nor an object") }
                row.body = member.value
            case "contentType":
                guard let text else { return .malformed("contentType: not text") }
                row.contentType = text
            case "contentEncoding":
                guard let text else { return .malformed("contentEncoding: not text") }
                row.contentEncoding = text
            case "receivedAt":
                guard let time = ImportTime.milliseconds(String(decoding: member.value, as: UTF8.self)) else {
                    return .malformed("receivedAt: not a time")
                }
                row.receivedAt = time
            case "account":
                guard let text, AccountName.isValid(text) else { return .malformed("account: not an account's name") }
                row.account = text
            case "imported", "recovered": continue
            default:
                return .malformed(
                    "unknown member at the top: not one of method, route, query, body, contentType, contentEncoding, "
                        + "receivedAt, account"
                )
            }
        }
        switch method ?? (row.body.isEmpty ? "GET" : "POST") {
        case "GET": row.method = .get
        case "POST": row.method = .post
        default: return .malformed("method: neither GET nor POST")
        }
        guard !row.query.isEmpty || !row.body.isEmpty else { return .malformed("neither a query nor a body") }
        row.query = QueryText.withoutSecret(row.query)
        return .row(row)
    }
}

/// Names of accounts, as the settings have them.
enum AccountName {
    static func isValid(_ name: String) -> Bool { DecoderConfiguration(accounts: [name]).problems().isEmpty }
}

/// The path of a webhook: `<base>/webhooks[/<secret>][/<type>]`, or an event type alone.
struct WebhookPath: Equatable {
    /// nil for a path without a type.
    let type: EventType?

    init?(_ text: String, basePath: String) {
        if let type = Self.type(text[...]) {
            self.type = type
            return
        }
        let segments = text.split(separator: "/")
        let base = basePath.split(separator: "/")
        guard segments.count > base.count, segments.count <= base.count + 3,
            zip(segments, base).allSatisfy({ $0.lowercased() == $1.lowercased() }),
            segments[base.count].lowercased() == "webhooks"
        else { return nil }
        let rest = segments.dropFirst(base.count + 1)
        let type = rest.last.flatMap(Self.type)
        // What is left is the secret of the path.
        guard rest.count - (type == nil ? 0 : 1) <= 1 else { return nil }
        self.type = type
    }

    private static func type(_ text: Substring) -> EventType? {
        let type = EventType(rawValue: text.lowercased())
        return type == .unrecognised ? nil : type
    }
}
