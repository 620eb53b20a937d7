import SMSBridgeSettings
import SMSPortalEvents

/// `smsbridge templates`: what to paste into the Control Panel.
enum TemplatesCommand {
    private static let url = CommandOption<String>(
        "--url", "URL", .anyText("url"),
        help:
            "Public URL of the bridge, without /webhooks. Default: auth.signature.baseUrl."
    )
    private static let types = CommandOption<String>(
        "--type", "TYPE", .oneOf(EventType.recognised.map(\.rawValue), name: "type"), repeats: true,
        help: "Only this type: \(EventType.recognised.map(\.rawValue).alternatives). May be repeated.")
    private static let method = CommandOption<CallbackTemplate.Form>(
        "--method", "METHOD", .word("method"),
        help: "get or post; without it the one that is recommended for each type.")
    private static let showSecrets = CommandOption<Bool>(
        "--show-secrets", help: "Show the secrets that callers need, to be pasted.")
    private static let json = CommandOption<Bool>("--json", help: "Write JSON to standard output, one object per line.")

    static let command = Command(
        "templates", summary: "Print URLs, headers and bodies for SMSPortal's Control Panel",
        discussion: """
            For each event type the method, the address, the header and the body with the vendor's @@Variables@@. What a
            person has written travels in the query of a GET, last: there quotes, line ends and the like survive, and the
            address stays below the vendor's 2,000 characters. Everything else goes in a JSON body.
            docs/control-panel.md says where to paste it, and what a POST does to texts with quotes.
            Exit codes: 0; 1 an address is too long; 2 the command line or the settings are wrong.
            """,
        options: [url, types, method, CallerSecrets.account, showSecrets, json],
        settings: .init(needs: [], sections: ["auth", "http"]),
        examples: [
            .init(
                "ready to be pasted, for replies alone",
                "smsbridge templates --config /etc/smsbridge.yaml --url https://sms.example.com --type reply --show-secrets"
            )
        ]
    ) { run($0, $1.settings) }

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        let names = EventType.recognised.map(\.rawValue)
        let asked = invocation.values(of: types)
        for name in asked where !names.contains(name) {
            let near = nearestName(to: name, among: names).map { ": did you mean \($0)?" }
            Output.error(
                "smsbridge templates: --type: there is no type '\(name)'\(near ?? "; there are: \(names.joined(separator: ", "))")\n"
            )
            return ExitCode.usage
        }
        let account = invocation.value(of: CallerSecrets.account)
        guard let secrets = CallerSecrets(settings.auth, account: account, command: "templates") else {
            return ExitCode.usage
        }
        // Where the vendor signs, the settings say under which address it knows this service.
        let signature = settings.auth.signature
        let isKnown = !signature.baseUrl.isEmpty && signature.url.hasPrefix("{base}{path}")
        let known = isKnown ? signature.baseUrl + settings.http.basePath : nil
        var base = invocation.value(of: url) ?? known ?? "https://YOUR-HOST"
        while base.hasSuffix("/") { base.removeLast() }
        if base.hasSuffix("/webhooks") { base.removeLast("/webhooks".count) }
        guard !base.contains(where: { "?#\" \\".contains($0) }), base.contains("://") else {
            Output.error(
                "smsbridge templates: --url: expected scheme, host and perhaps a path, such as https://sms.example.com\n"
            )
            return ExitCode.usage
        }
        guard settings.auth.isConfigured || settings.auth.none else {
            Output.error(
                "smsbridge templates: no authentication is configured, so the secret that callers need is not known: give "
                    + "--config FILE or --auth-header-secrets-file FILE as serve has it, or --auth-none for templates without a secret\n"
            )
            return ExitCode.usage
        }
        if !invocation.isGiven(url), known == nil {
            base += settings.http.basePath
            Output.error("smsbridge templates: give --url for addresses that are ready to be pasted\n")
        } else if !base.hasSuffix(settings.http.basePath) {
            Output.error(
                "smsbridge templates: --url does not end with http.basePath, \(settings.http.basePath): right only if a proxy adds it\n"
            )
        }
        if base.hasPrefix("http:") { Output.error("smsbridge templates: the vendor calls https only\n") }
        if !settings.auth.isConfigured {
            Output.error("smsbridge templates: no secret is configured: callers cannot be authenticated\n")
        }
        let chosen = EventType.recognised.filter { asked.isEmpty || asked.contains($0.rawValue) }
        var exitCode = ExitCode.success
        for type in chosen {
            let template = CallbackTemplate(type, form: invocation.value(of: method))
            let paper = Paper(
                template, base: base, secrets, headerName: settings.auth.header.name,
                showsSecrets: invocation.isOn(showSecrets))
            if invocation.isOn(json) { Output.line(paper.json) } else { Output.text(paper.text) }
            if let room = paper.room, room < 0 {
                Output.error(
                    "smsbridge templates: \(type.rawValue): the address is longer than the vendor's \(CallbackTemplate.longestURL) characters by \(-room)\n"
                )
                exitCode = ExitCode.failure
            }
        }
        return exitCode
    }

    /// A template with its secrets, or without, as it is shown.
    private struct Paper {
        let template: CallbackTemplate
        let url: String
        let header: (name: String, value: String)?
        /// Characters left for the text of a GET; nil for POST.
        let room: Int?

        init(
            _ template: CallbackTemplate, base: String, _ secrets: CallerSecrets, headerName: String, showsSecrets: Bool
        ) {
            self.template = template
            let path = secrets.path?.exposed
            let query = secrets.query?.exposed
            func shown(_ secret: String?) -> String? { secret.map { showsSecrets ? $0 : "…" } }
            url = template.url(base: base, pathSecret: shown(path), querySecret: shown(query))
            header = secrets.header.map { (headerName, showsSecrets ? $0.exposed : "…") }
            room =
                template.form == .get
                ? template.room(inURL: template.url(base: base, pathSecret: path, querySecret: query)) : nil
        }

        private var roomText: String? {
            guard let room, CallbackTemplate.hasText(template.type) else { return nil }
            let left = max(0, room)
            return "the text may have \(left) characters as escaped: \(left / 3) of punctuation, \(left / 6) Arabic or "
                + "Cyrillic, \(left / 9) Chinese or Hindi"
        }

        var text: String {
            var lines = [
                template.type.rawValue, "  method  \(template.form.rawValue.uppercased())", "  url     \(url)",
            ]
            if let header { lines.append("  header  \(header.name): \(header.value)") }
            if let body = template.body { lines.append("  body    \(body)") }
            if let roomText { lines.append("  room    \(roomText)") }
            return lines.joined(separator: "\n") + "\n\n"
        }

        var json: String {
            func string(_ text: String?) -> String { text.map(JSONText.string) ?? "null" }
            let header =
                self.header.map { "{\"name\":\(string($0.name)),\"value\":\(string($0.value))}" } ?? "null"
            return
                "{\"type\":\(string(template.type.rawValue)),\"method\":\(string(template.form.rawValue.uppercased())),"
                + "\"url\":\(string(url)),\"header\":\(header),\"body\":\(string(template.body)),"
                + "\"roomForText\":\(CallbackTemplate.hasText(template.type) ? room.map(String.init) ?? "null" : "null")}"
        }
    }
}
