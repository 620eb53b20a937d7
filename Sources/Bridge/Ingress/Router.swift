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
/// Segments are percent-decoded once, after splitting. A single slash at the end is as good as none, because people
/// paste URLs with one.
struct Router {
    private let base: [[UInt8]]
    private var segment: [UInt8] = []
    /// Whose secret stood in the path that was routed last; nil when none did.
    private(set) var account: Int?
    /// A secret was asked for in that path, and none or a wrong one stood there.
    private(set) var lacksSecret = false

    init(basePath: String) {
        base = basePath.split(separator: "/").map { Array($0.utf8) }
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
        // Base path, "webhooks", secret, type and one empty segment: whatever has more is not ours.
        var cuts: InlineArray<8, Cut> = .init(repeating: Cut(offset: 0, count: 0))
        let limit = 8
        var count = 0
        head.forEachPathSegment(in: bytes) { cut in
            if count < limit { cuts[count] = cut }
            count += 1
        }
        if count > 1, count <= limit, cuts[count - 1].isEmpty { count -= 1 }
        guard count > 0, count <= limit else { return .notFound }
        if count == 1, PercentEncoding.matches(cuts[0], in: bytes, "healthz") { return .health }
        guard count > base.count else { return .notFound }
        for index in base.indices {
            guard decode(cuts[index], bytes), segment == base[index] else { return .notFound }
        }
        var next = base.count
        if count == next + 1, PercentEncoding.matches(cuts[next], in: bytes, "healthz") { return .health }
        guard PercentEncoding.matches(cuts[next], in: bytes, "webhooks") else { return .notFound }
        next += 1
        if let secrets {
            if next < count, decode(cuts[next], bytes) { account = secrets.owner(of: segment.span.bytes) }
            lacksSecret = account == nil
            if !lacksSecret {
                next += 1
            } else if isEnforced {
                return .unauthorized
            } else if count - next == 2 || count - next == 1 && type(cuts[next], bytes) == nil {
                // What stands where the secret would is taken for a wrong one.
                next += 1
            }
        }
        switch count - next {
        case 0: return .webhook(nil)
        case 1: return type(cuts[next], bytes).map { .webhook($0) } ?? .notFound
        default: return .notFound
        }
    }

    // MARK: - For the log

    /// Whether the path names a route of callbacks, right or not.
    static func isCallback(_ head: LooseHead, _ bytes: RawSpan) -> Bool {
        head.segments.contains { PercentEncoding.matches($0, in: bytes, "webhooks", ignoringCase: true) }
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

    private mutating func decode(_ cut: Cut, _ bytes: RawSpan) -> Bool {
        segment.removeAll(keepingCapacity: true)
        return PercentEncoding.decode(cut, in: bytes, into: &segment)
    }

    private func type(_ cut: Cut, _ bytes: RawSpan) -> EventType? {
        if PercentEncoding.matches(cut, in: bytes, "delivery-status") { return .deliveryStatus }
        if PercentEncoding.matches(cut, in: bytes, "reply") { return .reply }
        if PercentEncoding.matches(cut, in: bytes, "short-code") { return .shortCode }
        if PercentEncoding.matches(cut, in: bytes, "url-preview") { return .urlPreview }
        if PercentEncoding.matches(cut, in: bytes, "url-click") { return .urlClick }
        return nil
    }
}
