import Foundation

/// What a value says when it is read strictly: written from docs/events.md, by other means than the decoder's, to be held
/// against it. Nil where a strict reader would not take the value for what it is asked for.
enum StrictReading {
    // MARK: - Numbers

    /// The digits of a subscriber's number.
    static func number(_ given: String) -> String? {
        var text = trimmed(given)
        if let match = text.wholeMatch(of: /([^.]*[0-9])\.0+/) { text = String(match.1) }
        guard text.unicodeScalars.allSatisfy({ "0123456789+-.() ".unicodeScalars.contains($0) }) else { return nil }
        if text.wholeMatch(of: /[0-9]+/) != nil, !text.hasPrefix("00") { return sized(text) }
        let international = text.wholeMatch(of: /(?:\+|00-?) *(.*)/)
        let groups = text.wholeMatch(of: /(?:\+|00-?)? *(.*)/)?.1 ?? ""
        return written(String(groups), isInternational: international != nil).flatMap(sized)
    }

    private static func sized(_ digits: String) -> String? {
        (5...15).contains(digits.count) && !digits.hasPrefix("00") ? digits : nil
    }

    private enum Token: Equatable {
        case group(String)
        case parenthesised(String)
        case spaces, hyphen, dot
    }

    private static func written(_ text: String, isInternational: Bool) -> String? {
        guard var tokens = tokens(text), case .group? = tokens.last.map(asGroup), case .group = asGroup(tokens[0])
        else { return nil }
        if isInternational {
            guard case .group(let first) = asGroup(tokens[0]), !first.hasPrefix("0") else { return nil }
        }
        guard tokens.filter(isParenthesised).count <= 1 else { return nil }
        // Between two groups at most one separator, none only beside a parenthesis.
        for (left, right) in zip(tokens, tokens.dropFirst()) {
            if isSeparator(left), isSeparator(right) { return nil }
            if case .group = left, case .group = right { return nil }
        }
        let code: String? =
            if case .group(let first) = asGroup(tokens[0]), first.count <= 3, !first.hasPrefix("0") { first } else {
                nil
            }
        if let position = tokens.firstIndex(of: .parenthesised("0")), position > 0 {
            guard code != nil, !tokens[1..<position].contains(where: isGroup) else { return nil }
            if let next = tokens[(position + 1)...].first(where: isGroup), case .group(let digits) = asGroup(next),
                digits.hasPrefix("0")
            {
                return nil
            }
            tokens[position] = .spaces
        } else if let position = tokens.firstIndex(where: isParenthesised), position > 0,
            case .parenthesised(let digits) = tokens[position], digits.hasPrefix("0")
        {
            return nil
        }
        let groups = tokens.compactMap { if case .group(let digits) = asGroup($0) { digits } else { nil } }
        if groups.filter({ $0.count >= 5 }).count > 1, !isInternational || code == nil { return nil }
        let dots = tokens.filter { $0 == .dot }.count
        if dots == 1 {
            guard isInternational, code != nil, tokens.count == 3, tokens[1] == .dot, !text.contains("(") else {
                return nil
            }
        } else if dots > 1, tokens[tokens.count - 2] == .dot {
            guard let last = groups.last, last.count > 1, last != "00" else { return nil }
        }
        return groups.joined()
    }

    private static func tokens(_ text: String) -> [Token]? {
        var rest = text[...]
        var tokens: [Token] = []
        while !rest.isEmpty {
            if let match = rest.prefixMatch(of: /[0-9]+/) {
                tokens.append(.group(String(match.0)))
                rest = rest[match.range.upperBound...]
            } else if let match = rest.prefixMatch(of: /\(([0-9]+)\)/) {
                tokens.append(.parenthesised(String(match.1)))
                rest = rest[match.range.upperBound...]
            } else if let match = rest.prefixMatch(of: /[ ]+/) {
                tokens.append(.spaces)
                rest = rest[match.range.upperBound...]
            } else if rest.hasPrefix("-") || rest.hasPrefix(".") {
                tokens.append(rest.hasPrefix("-") ? .hyphen : .dot)
                rest = rest.dropFirst()
            } else {
                return nil
            }
        }
        return tokens.isEmpty ? nil : tokens
    }

    private static func asGroup(_ token: Token) -> Token {
        if case .parenthesised(let digits) = token { .group(digits) } else { token }
    }

    private static func isGroup(_ token: Token) -> Bool { if case .group = asGroup(token) { true } else { false } }

    private static func isParenthesised(_ token: Token) -> Bool {
        if case .parenthesised = token { true } else { false }
    }

    private static func isSeparator(_ token: Token) -> Bool { !isGroup(token) }

    // MARK: - Times

    /// Milliseconds since the epoch.
    static func time(_ given: String) -> Int64? {
        var text = trimmed(given)
        if let match = text.wholeMatch(of: /([^.]*[0-9])\.0+/) { text = String(match.1) }
        let milliseconds: Int64?
        if text.wholeMatch(of: /[0-9]{1,14}/) != nil {
            milliseconds = Int64(text).map { $0 < 100_000_000_000 ? $0 * 1000 : $0 }
        } else {
            milliseconds = southAfrican(text)
        }
        guard let milliseconds, milliseconds >= 915_148_800_000, milliseconds < 4_102_444_800_000 else { return nil }
        return milliseconds
    }

    private static func southAfrican(_ text: String) -> Int64? {
        guard
            let match = text.wholeMatch(
                of: /([0-9]{1,2})\/([A-Za-z]{3})\/([0-9]{4}) +([0-9]{1,2}):([0-9]{2}):([0-9]{2})/),
            let month = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
                .firstIndex(of: match.2.lowercased())
        else { return nil }
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(secondsFromGMT: 2 * 3600) ?? .gmt
        let components = DateComponents(
            calendar: calendar, timeZone: calendar.timeZone, year: Int(match.3), month: month + 1, day: Int(match.1),
            hour: Int(match.4), minute: Int(match.5), second: Int(match.6))
        guard components.isValidDate, let date = components.date else { return nil }
        return Int64((date.timeIntervalSince1970 * 1000).rounded())
    }

    // MARK: - Ids, statuses, small numbers

    /// An id that names one message.
    static func id(_ given: String) -> String? {
        let text = trimmed(given)
        return text.wholeMatch(of: /[0-9]*[1-9][0-9]*/) == nil ? nil : text
    }

    static func state(_ given: String) -> String {
        switch trimmed(given).uppercased() {
        case "DELIVRD": "delivered"
        case "UNDELIV", "EXPIRED", "BLIST", "CANCELLED", "NOROUTE": "failed"
        case "SUBMITD", "STAGED": "pending"
        default: "unknown"
        }
    }

    static func parts(_ given: String) -> Int? {
        given.wholeMatch(of: /([0-9]{1,9})(?:\.0+)?/).flatMap { Int($0.1) }
    }

    static func flash(_ given: String) -> Bool? {
        switch given.lowercased() {
        case "true": true
        case "false": false
        default: nil
        }
    }

    /// JSON's white space; no other counts.
    static func trimmed(_ text: String) -> String {
        let isWhite: (Character) -> Bool = { " \t\r\n".contains($0) || $0 == "\r\n" }
        return String(text.drop(while: isWhite).reversed().drop(while: isWhite).reversed())
    }
}
