internal import SMSBridgeHTTPServer
internal import SMSPortalEvents

/// What a request's path asks for.
enum Route: Equatable {
    /// A callback. The type is nil on `/webhooks` itself, where the fields tell it.
    case webhook(EventType?)
    /// The public health probe.
    case health
    case notFound
    /// A path secret is required here and none, or a wrong one, was given.
    case unauthorized
}

/// Reads the path: `<base>/webhooks[/<secret>][/<type>]` and `/healthz`.
///
/// Segments are percent-decoded once, after splitting. Empty segments are skipped, so that slashes too many, as a base
/// URL with a slash at its end produces them, do no harm; ASCII letters of the fixed segments match in either case. A
/// secret is compared exactly. Dot segments are no segments of ours.
struct Router {
    /// In lower case.
    private let base: [[UInt8]]
    private var segment: [UInt8] = []
    /// The account of the secret in the path that was routed last; nil when there was none.
    private(set) var account: Int?
    /// A secret was asked for in that path, and was missing or wrong.
    private(set) var lacksSecret = false

    init(basePath: String) {
        base = basePath.lowercased().split(separator: "/").map { Array($0.utf8) }
        segment.reserveCapacity(256)
    }

    /// - Parameters:
    ///   - secrets: nil when no path secret is configured; then the path must not carry one.
    ///   - isEnforced: if not, a wrong secret, or none, is passed over, and `account` stays nil.
    mutating func route(
        _ head: borrowing RequestHead, _ bytes: RawSpan, secrets: SecretSet?, isEnforced: Bool = true
    ) -> Route {
        account = nil
        lacksSecret = false
        var count = 0
        var isBase = true
        let none = Cut(offset: 0, count: 0)
        var first = none
        // Behind the base path: "webhooks" or "healthz", then a secret and a type; what has more is not ours.
        var cuts: InlineArray<3, Cut> = .init(repeating: none)
        head.forEachPathSegment(in: bytes) { cut in
            guard !cut.isEmpty else { return }
            if count == 0 { first = cut }
            if count < base.count {
                if isBase { isBase = decode(cut, bytes) && isFixed(base[count]) }
            } else if count - base.count < 3 {
                cuts[count - base.count] = cut
            }
            count += 1
        }
        if count == 1, Self.matches(first, bytes, "healthz") { return .health }
        guard isBase, count > base.count, count <= base.count + 3 else { return .notFound }
        count -= base.count
        if count == 1, Self.matches(cuts[0], bytes, "healthz") { return .health }
        guard Self.matches(cuts[0], bytes, "webhooks") else { return .notFound }
        var next = 1
        if let secrets {
            if next < count, decode(cuts[next], bytes) { account = secrets.owner(of: segment.span.bytes) }
            lacksSecret = account == nil
            if !lacksSecret {
                next += 1
            } else if isEnforced {
                return .unauthorized
            } else if count - next == 2 || count - next == 1 && type(cuts[next], bytes) == nil {
                // A segment in the position of the secret counts as a wrong secret.
                next += 1
            }
        }
        switch count - next {
        case 0: return .webhook(nil)
        case 1: return type(cuts[next], bytes).map { .webhook($0) } ?? .notFound
        default: return .notFound
        }
    }

    private mutating func decode(_ cut: Cut, _ bytes: RawSpan) -> Bool {
        segment.removeAll(keepingCapacity: true)
        return PercentEncoding.decode(cut, in: bytes, into: &segment)
    }

    /// Whether the decoded segment is `text` in any case of ASCII letters.
    private func isFixed(_ text: [UInt8]) -> Bool {
        segment.count == text.count
            && zip(segment, text).allSatisfy { ($0 &- UInt8(ascii: "A") < 26 ? $0 | 0x20 : $0) == $1 }
    }

    private static func matches(_ cut: Cut, _ bytes: RawSpan, _ name: StaticString) -> Bool {
        PercentEncoding.matches(cut, in: bytes, name, ignoringCase: true)
    }

    private func type(_ cut: Cut, _ bytes: RawSpan) -> EventType? {
        for type in EventType.recognised where Self.matches(cut, bytes, type.name) { return type }
        return nil
    }

    // MARK: - For the log

    /// Whether the path names a route of callbacks, right or not.
    static func isCallback(_ head: LooseHead, _ bytes: RawSpan) -> Bool {
        head.segments.contains { matches($0, bytes, "webhooks") }
    }

    /// The path with `…` for every segment that is neither one of ours nor a misspelling of one: it might be a secret.
    func shown(_ head: LooseHead, _ bytes: RawSpan) -> String {
        guard !head.segments.isEmpty else { return "/" }
        let known = base.map { String(decoding: $0, as: UTF8.self) } + Self.names
        return head.segments.map { cut in
            let text = bytes.extracting(cut.offset..<cut.end).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            let isPlain = text.utf8.allSatisfy { byte in
                (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
            guard isPlain, text.utf8.count <= Self.longestShown, known.contains(where: { Self.isNear(text, $0) }) else {
                return "/…"
            }
            return "/" + text
        }.joined()
    }

    private static let names = ["webhooks", "healthz"] + EventType.allCases.map(\.rawValue)
    private static let longestShown = 32

    /// Whether at most two letters differ.
    private static func isNear(_ text: String, _ name: String) -> Bool {
        let text = Array(text.lowercased().utf8)
        let name = Array(name.lowercased().utf8)
        guard abs(text.count - name.count) <= 2 else { return false }
        var last = Array(0...name.count)
        for (row, byte) in text.enumerated() {
            var current = [row + 1]
            for (column, other) in name.enumerated() {
                current.append(min(current[column] + 1, last[column + 1] + 1, last[column] + (byte == other ? 0 : 1)))
            }
            last = current
        }
        // Of short names two letters are too much.
        return last[name.count] <= (name.count > 4 ? 2 : 1)
    }
}
