import SMSBridgeIngress
import SMSPortalEvents

/// Lines of an access log in the Common or Combined Log Format (Apache, nginx, HAProxy's `httpslog` aside): callbacks by GET
/// that were not answered with success.
enum AccessLogRows {
    static func parse(_ line: [UInt8], _ options: ImportOptions) -> LineRows.ParsedLine {
        var scanner = Scanner(line)
        // host ident user [time] "request" status bytes ["referer" "agent"]
        guard scanner.skipToken(), scanner.skipToken(), scanner.skipUser(), let time = scanner.time() else {
            return .malformed("not a line of the Common or Combined Log Format")
        }
        guard let request = scanner.quoted(), let status = scanner.status() else {
            return .malformed("no request or no status where the Common Log Format has it")
        }
        let words = request.split(separator: 32, omittingEmptySubsequences: false)
        guard words.count >= 2 else { return .malformed("the request has no method or no target") }
        let method = String(decoding: words[0], as: UTF8.self).uppercased()
        // A target with blanks in it was not a valid request; it is kept together.
        let hasVersion = words.count > 2 && words[words.count - 1].starts(with: Array("HTTP/".utf8))
        let target = Array(words[1..<(hasVersion ? words.count - 1 : words.count)].joined(separator: [32]))
        let parts = target.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = WebhookPath(String(decoding: parts.first ?? [], as: UTF8.self), basePath: options.basePath)
        else {
            return .skipped("other requests")
        }
        guard method == "GET" || method == "POST" else { return .skipped("other methods") }
        guard options.statuses.contains(status) else { return .skipped("answered with other statuses") }
        let query = QueryText.withoutSecret(parts.count > 1 ? Array(parts[1]) : [])
        // A log has no bodies; legacy callbacks by POST have their data in the query.
        guard !query.isEmpty else {
            return .skipped(method == "POST" ? "POST, whose body is not in the log" : "without data")
        }
        return .row(
            ImportRow(
                line: 0, method: method == "GET" ? .get : .post, route: path.type ?? options.type, query: query,
                receivedAt: time))
    }

    private struct Scanner {
        private let bytes: [UInt8]
        private var at = 0

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        private mutating func skipBlanks() {
            while at < bytes.count, bytes[at] == 32 { at += 1 }
        }

        mutating func skipToken() -> Bool {
            skipBlanks()
            let start = at
            while at < bytes.count, bytes[at] != 32 { at += 1 }
            return at > start && at < bytes.count
        }

        /// A user's name may have blanks; the time begins with a bracket.
        mutating func skipUser() -> Bool {
            guard let bracket = bytes[at...].firstIndex(of: UInt8(ascii: "[")), bracket > at else { return false }
            at = bracket
            return true
        }

        /// `[10/Oct/2026:13:55:36 +0200]`, in milliseconds since 1970.
        mutating func time() -> Int64? {
            guard let end = bytes[at...].firstIndex(of: UInt8(ascii: "]")) else { return nil }
            let text = String(decoding: bytes[at + 1..<end], as: UTF8.self)
            at = end + 1
            let words = text.split(separator: " ")
            guard words.count == 2 else { return nil }
            let parts = words[0].split(separator: ":", maxSplits: 1)
            let date = (parts.first ?? "").split(separator: "/")
            let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
            guard parts.count == 2, date.count == 3, date[0].utf8.count == 2,
                let month = months.firstIndex(of: date[1].lowercased()), words[1].utf8.count == 5,
                let offset = CommandTimeZone.offset(words[1].prefix(3) + ":" + words[1].suffix(2)),
                let local = LocalTime.utcMilliseconds(
                    "\(date[2])-\(month < 9 ? "0" : "")\(month + 1)-\(date[0])T\(parts[1])")
            else { return nil }
            return local - offset * 1_000
        }

        /// A text in quotes; `\"`, `\\` and `\xHH` are unescaped.
        mutating func quoted() -> [UInt8]? {
            skipBlanks()
            guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { return nil }
            at += 1
            var text: [UInt8] = []
            while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
                guard bytes[at] == UInt8(ascii: "\\"), at + 1 < bytes.count else {
                    text.append(bytes[at])
                    at += 1
                    continue
                }
                if bytes[at + 1] == UInt8(ascii: "x"), at + 3 < bytes.count,
                    let byte = UInt8(String(decoding: bytes[at + 2...at + 3], as: UTF8.self), radix: 16)
                {
                    text.append(byte)
                    at += 4
                } else {
                    text.append(bytes[at + 1])
                    at += 2
                }
            }
            guard at < bytes.count else { return nil }
            at += 1
            return text
        }

        mutating func status() -> Int? {
            skipBlanks()
            let start = at
            while at < bytes.count, bytes[at] != 32 { at += 1 }
            guard at - start == 3, let status = Int(String(decoding: bytes[start..<at], as: UTF8.self)),
                (100...599).contains(status)
            else { return nil }
            return status
        }
    }
}
