import SMSBridgeSettings

/// `smsbridge config`: the configuration file, without a cluster.
enum ConfigCommand {
    private static let all = CommandOption<Bool>("--all", help: "Show settings with their defaults, too.")
    private static let json = CommandOption<Bool>("--json", help: "Write JSON to standard output, one object per line.")

    static let command = Command(
        "config", summary: "Create, validate and show settings, offline",
        subcommands: [
            Command(
                "init", summary: "Print a minimal configuration file",
                discussion: """
                    With the brokers, the spool's folder and the port that flags and environment give, and placeholders for the
                    rest. Writes to standard output and changes no file.
                    """,
                settings: .init(needs: [], sections: ["http", "kafka", "spool"]),
                examples: [
                    .init("for a cluster", "smsbridge config init -b kafka-1:9093,kafka-2:9093 > smsbridge.yaml")
                ]
            ) {
                warn($0, $1)
                Output.text(minimalFile($1))
                return ExitCode.success
            },
            Command(
                "check", summary: "Validate settings and the files that they name, without connecting",
                discussion: """
                    Reads flags, environment and file as serve does, with every secret and certificate file. Every problem is
                    named at once, with its place. 'smsbridge check' asks the cluster, too.
                    Exit codes: 0 valid; 2 not.
                    """,
                settings: .init(needs: .serve, readsServerKey: true),
                examples: [.init("a file", "smsbridge config check -c smsbridge.yaml")]
            ) {
                warn($0, $1)
                let given = $1.effective.count { $0.source != .standard }
                let subject = $1.configFile ?? "the settings"
                Output.line("\(subject): valid, \(given) settings are not defaults; no connection was made")
                return ExitCode.success
            },
            Command(
                "show", summary: "Show effective settings with their sources",
                discussion: """
                    Flags override the environment, which overrides the file, which overrides the defaults. Secrets are shown as …
                    """,
                options: [all, json], settings: .init(needs: []),
                examples: [
                    .init("what is not a default, and where it comes from", "smsbridge config show -c smsbridge.yaml")
                ]
            ) {
                warn($0, $1)
                show($1, all: $0.isOn(all), json: $0.isOn(json))
                return ExitCode.success
            },
        ])

    private static func warn(_ invocation: Invocation, _ loaded: LoadedSettings) {
        for warning in loaded.warnings { Output.error("smsbridge \(invocation.command): warning: \(warning)\n") }
    }

    private static func show(_ loaded: LoadedSettings, all: Bool, json: Bool) {
        let shown = loaded.effective.filter { all || $0.source != .standard }
        if json {
            for setting in shown {
                Output.line(
                    "{\"key\":\(JSONText.string(setting.key)),\"value\":\(JSONText.string(setting.value)),"
                        + "\"source\":\(JSONText.string("\(setting.source)"))}")
            }
            return
        }
        guard !shown.isEmpty else { return Output.line("every setting has its default; --all shows them") }
        Output.table([["SETTING", "VALUE", "SOURCE"]] + shown.map { [$0.key, $0.value, "\($0.source)"] })
    }

    /// Whatever serve cannot do without, in the order in which an operator decides on it.
    private static func minimalFile(_ loaded: LoadedSettings) -> String {
        let settings = loaded.settings
        let brokers =
            settings.kafka.bootstrapServers.isEmpty
            ? "kafka-1.example.com:9093" : settings.kafka.bootstrapServers.joined(separator: ",")
        var text = """
            # Settings of smsbridge. Validate: smsbridge config check -c FILE. Every setting: smsbridge help settings
            kafka:
              bootstrapServers: \(quoted(brokers))
              # TLS and SASL, as librdkafka names the properties: smsbridge help connections
              # properties:
              #   security.protocol: SASL_SSL
              #   sasl.mechanism: PLAIN
              #   sasl.username: smsbridge
              # propertyFiles:
              #   sasl.password: kafka-password
            auth:
              header:
                # One secret a line; create it: openssl rand -hex 24 > webhook-secret. Callers send it as X-Webhook-Secret.
                secretsFile: webhook-secret
            spool:
              # On a disk that outlives the process and the container; not NFS, not memory.
              path: \(quoted(settings.spool.path))

            """
        if loaded.sources["http.port"] != nil { text += "http:\n  port: \(settings.http.port)\n" }
        return text
    }

    /// A double-quoted YAML scalar where a plain one could be read as something else.
    private static func quoted(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                || "-._:,/".utf8.contains($0)
        }
        return isPlain && text.utf8.first != 0x2D ? text : JSONText.string(text)
    }
}
