/// The entries of `docs/runbook.md`, which is part of the binary: an instance that cannot be reached from outside can be
/// asked all the same.
struct Runbook {
    /// The whole page, Markdown.
    static let text = PackageResources.runbook_md
    /// By the name of the alert: its section, Markdown.
    static let entries = sections(of: text)

    /// Where the entries of the alerts are read: a page with an anchor for each, or empty for this instance.
    let url: String

    /// The link to an alert's entry.
    func link(to alert: String) -> String {
        url.isEmpty ? "\(Self.path)/\(alert)" : "\(url)#\(alert.lowercased())"
    }

    /// The route of the page; its entries are below.
    static let path = "/runbook"

    /// The sections that a heading of the second level begins, by that heading.
    static func sections(of text: [UInt8]) -> [String: [UInt8]] {
        var sections: [String: [UInt8]] = [:]
        var name: String?
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            if line.starts(with: Array("## ".utf8)) { name = String(decoding: line.dropFirst(3), as: UTF8.self) }
            guard let name else { continue }
            sections[name, default: []].append(contentsOf: line)
            sections[name]?.append(UInt8(ascii: "\n"))
        }
        return sections
    }
}
