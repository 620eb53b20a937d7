import SMSPortalEvents
import SMSPortalSimulator

/// What is typed into the Control Panel for the callbacks of one type.
///
/// The variables are those of docs/control-panel.md; the keys are the vendor's own default (the variable's name in
/// camelCase), which the decoder knows without configuration.
struct CallbackTemplate {
    /// How the values travel.
    enum Form: String, Sendable, CaseIterable {
        /// In the query: the caller has to escape whatever it puts in, else the request is none.
        case get
        /// In a JSON body: whether the caller escapes quotes on substitution is not known.
        case post
    }

    /// What the vendor takes for a GET, in characters.
    static let longestURL = 2_000

    let type: EventType
    let form: Form
    let variables: [TemplateVariable]

    /// - Parameter form: nil for the one that is recommended: by GET what a person has written, by POST everything
    ///   else, which keeps it out of the logs of proxies.
    init(_ type: EventType, form: Form? = nil) {
        self.type = type
        variables = type.templateVariables
        self.form = form ?? (Self.hasText(type) ? .get : .post)
    }

    /// Whether a person has written a part of it.
    static func hasText(_ type: EventType) -> Bool { type == .reply || type == .shortCode }

    /// The address, with the secrets that travel in it.
    ///
    /// - Parameter base: scheme, host and base path; `/webhooks` is put behind it.
    func url(base: String, pathSecret: String?, querySecret: String?) -> String {
        var url = base + "/webhooks" + (pathSecret.map { "/\($0)" } ?? "") + "/" + type.rawValue
        var pairs = querySecret.map { ["secret=\($0)"] } ?? []
        if form == .get { pairs += variables.map { "\($0.key)=@@\($0.name)@@" } }
        if !pairs.isEmpty { url += "?" + pairs.joined(separator: "&") }
        return url
    }

    /// The body to be filled in; nil for GET. Numbers are quoted, too: an empty one would be invalid JSON.
    var body: String? {
        guard form == .post else { return nil }
        return "{" + variables.map { "\"\($0.key)\":\"@@\($0.name)@@\"" }.joined(separator: ",") + "}"
    }

    /// How many characters of an address are left for the text, whatever the other values are.
    func room(inURL url: String) -> Int {
        let placeholders = variables.reduce(0) { $0 + $1.name.utf8.count + 4 }
        return Self.longestURL - (url.utf8.count - placeholders) - variables.reduce(0) { $0 + $1.room }
    }
}
