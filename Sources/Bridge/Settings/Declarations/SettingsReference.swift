/// The reference of all settings, made from their declarations.
package enum SettingsReference {
    /// `docs/configuration.md`.
    package static func markdown() -> String {
        var text = introduction
        let standard = BridgeSettings()
        for section in Declaration.sections {
            text += "\n## \(section.name): \(section.title.prefix(1).lowercased())\(section.title.dropFirst())\n"
            for declaration in Declaration.all where declaration.section == section.name {
                text += "\n### `\(declaration.key)`\n\n\(wrapped(declaration.documentation))\n"
                text += wrapped("\(valueText(declaration)); default \(standardText(declaration, standard))", mark: "- ")
                text += wrapped("\(environmentText(declaration)), `\(flagExample(declaration))`", mark: "- ")
            }
        }
        text += "\n## Properties of librdkafka that are rejected\n\n"
        let families = [("*_cb", "any_cb"), ("test.mock.*", "test.mock.x")]
        let refused =
            KafkaProperties.refused.map { ($0.key, $0.value) }
            + families.map { ($0.0, KafkaProperties.refusal(of: $0.1) ?? "") }
        let names = Dictionary(grouping: refused, by: \.1).mapValues { $0.map { "`\($0.0)`" }.sorted() }
        for (reason, names) in names.sorted(by: { $0.value[0] < $1.value[0] }) {
            text += wrapped("\(names.joined(separator: ", ")): \(reason).", mark: "- ")
        }
        return text
    }

    /// For a terminal.
    package static func plainText() -> String {
        let standard = BridgeSettings()
        var text = "Settings, by rising precedence: default, file (--config), environment, flag.\n"
        for section in Declaration.sections {
            text += "\n\(section.title)\n"
            for declaration in Declaration.all where declaration.section == section.name {
                let shown = declaration.show(standard)
                text += "  \(declaration.key)  \(shown.isEmpty ? "" : "(default: \(shown))")\n"
                text += "      \(declaration.documentation.replacing("`", with: ""))\n"
                text += "      \(declaration.environmentName)\(declaration.hasEntryNames ? "_<PROPERTY>" : "")"
                text += "   \(flagExample(declaration))\n"
            }
        }
        return text
    }

    /// A configuration file that names every setting; what is not required is commented out.
    package static func exampleFile() -> String {
        let standard = BridgeSettings()
        var text = ""
        var open: [String] = []
        for declaration in Declaration.all {
            let words = declaration.key.split(separator: ".").map(String.init)
            let parents = Array(words.dropLast())
            var shared = 0
            while shared < min(open.count, parents.count), open[shared] == parents[shared] { shared += 1 }
            for (depth, word) in parents.enumerated().dropFirst(shared) {
                if depth == 0 {
                    let title = Declaration.sections.first { $0.name == word }?.title
                    text += "\(text.isEmpty ? "" : "\n")# \(title ?? "")\n"
                }
                text += String(repeating: "  ", count: depth) + word + ":\n"
            }
            open = parents
            let indent = String(repeating: "  ", count: parents.count)
            let word = words.last ?? ""
            text += "\(indent)# \(declaration.brief).\n"
            switch declaration.key {
            case "kafka.bootstrapServers":
                text += "\(indent)\(word): kafka-1.example.com:9092,kafka-2.example.com:9092\n"
            case "auth.header.secretsFile":
                text += "\(indent)\(word): /run/secrets/smsbridge-header\n"
            case "kafka.properties":
                text += "\(indent)# \(word):\n"
                text += "\(indent)#   security.protocol: SASL_SSL\n\(indent)#   sasl.mechanism: PLAIN\n"
                text += "\(indent)#   sasl.username: smsbridge\n"
            case "kafka.propertyFiles":
                text += "\(indent)# \(word):\n\(indent)#   sasl.password: /run/secrets/kafka-password\n"
            case "events.delivery-status.fields":
                text += "\(indent)# \(word):\n\(indent)#   MobileNumber: msisdn\n"
            default:
                text += exampleDefault(declaration, word, indent: indent, standard)
            }
        }
        return text
    }

    private static func exampleDefault(
        _ declaration: Declaration, _ word: String, indent: String, _ standard: BridgeSettings
    ) -> String {
        switch declaration.form {
        case .single:
            let shown = declaration.show(standard)
            // A brace would begin a mapping.
            return "\(indent)# \(word): \(shown.isEmpty || shown.contains("{") ? "\"\(shown)\"" : shown)\n"
        case .list:
            let items = splitList(declaration.show(standard)).filter { !$0.isEmpty }
            if items.isEmpty { return "\(indent)# \(word): []\n" }
            return "\(indent)# \(word):\n" + items.map { "\(indent)#   - \($0)\n" }.joined()
        case .map: return "\(indent)# \(word): {}\n"
        }
    }

    private static func valueText(_ declaration: Declaration) -> String {
        switch declaration.form {
        case .single:
            // How durations are written is in the introduction.
            declaration.expected.hasPrefix("a duration")
                ? String(declaration.expected.prefix { $0 != "," }) : declaration.expected
        case .list, .map: "\(declaration.typeName): \(declaration.expected)"
        }
    }

    private static func standardText(_ declaration: Declaration, _ standard: BridgeSettings) -> String {
        if declaration.key == "kafka.bootstrapServers" { return "none: required" }
        let shown = declaration.show(standard)
        return shown.isEmpty ? "none" : "`\(shown)`"
    }

    private static func environmentText(_ declaration: Declaration) -> String {
        let name = declaration.environmentName
        return declaration.hasEntryNames
            ? "`\(name)_<PROPERTY>`, as in `\(name)_SECURITY_PROTOCOL`" : "`\(name)`"
    }

    /// Breaks a paragraph into lines of at most 120 characters, or of one word; the first begins with a list mark.
    private static func wrapped(_ text: String, mark: String = "") -> String {
        var lines = ""
        var line = mark
        for word in text.split(separator: " ") {
            let isFirst = line.count == mark.count
            if !isFirst, line.count + 1 + word.count > 120 {
                lines += line + "\n"
                line = String(repeating: " ", count: mark.count) + word
            } else {
                line += (isFirst ? "" : " ") + word
            }
        }
        return lines + line + "\n"
    }

    private static func flagExample(_ declaration: Declaration) -> String {
        if declaration.isBoolean {
            let isOn = declaration.show(BridgeSettings()) == "true"
            return isOn ? "\(declaration.flag)=false" : declaration.flag
        }
        return "\(declaration.flag) \(declaration.placeholder)"
    }

    private static let introduction = """
        # Configuration

        <!-- Made by `smsbridge help settings --markdown` from the declarations in Sources/Bridge/Settings. Do not edit. -->

        A setting can be given in four places. The later ones win, setting by setting:

        1. its default;
        2. the YAML file that `--config FILE` or `SMSBRIDGE_CONFIG` names;
        3. the environment: `http.basePath` is `SMSBRIDGE_HTTP_BASE_PATH`;
        4. a flag: `http.basePath` is `--http-base-path /bridge` or `--http-base-path=/bridge`.

        All errors are reported at once, with their position, and nothing starts (exit code 2): unknown keys and
        flags, wrong types and bounds, repeated values, settings that contradict each other. An unknown variable
        that begins with `SMSBRIDGE_` causes a warning. An empty variable counts as not set.

        **The file** is one YAML document of nested keys, at most 1 MiB. A value has the type of its setting, whatever
        YAML would guess: `no`, `0123` and `1e3` are not turned into something else. Anchors, aliases, tags, repeated
        keys and further documents are refused.

        **Durations** are numbers with units, the larger one first: `250ms`, `10s`, `1h30m`, `14d` (`d`, `h`, `m`,
        `s`, `ms`, `us`). **Sizes** are bytes or numbers with a unit: `262144`, `256KiB`, `10MiB`, `1GB` (`KiB`,
        `MiB`, `GiB`, `TiB` count by 1024; `kB`, `MB`, `GB`, `TB` by 1000). **Booleans** are `true` and `false`; as a
        flag, `--topics-create=false`, and a flag without a value is `true`.

        **Lists** are YAML lists. In the environment and in flags, commas stand between the items, spaces around them
        are dropped; a comma within an item is written `\\,` and a backslash `\\\\`. A flag may also be given several
        times. **Mappings** are YAML mappings, in the environment and in flags `name=value` with commas between.
        `smsbridge help settings --yaml` prints a file with every setting and its default.

        **Secrets** never appear in a message, a log line or a dump. Each has a form that names a file, with one secret
        a line: `auth.header.secretsFile`, `SMSBRIDGE_AUTH_HEADER_SECRETS_FILE`, `--auth-header-secrets-file`. Giving
        the secrets and the file in the same place is an error; in different places the later one wins as always. Files of
        secrets are [read again when they change](secure.md#change-a-secret-without-a-restart).

        **Kubernetes** sets variables for every service of a namespace in each container. Those of a service called
        `smsbridge…` (`SMSBRIDGE_PORT=tcp://10.0.0.1:80`) are ignored with a warning. `enableServiceLinks: false` in
        the pod prevents them.

        """
}
