import SMSBridgeCertificates
import SMSBridgeFiles
import SMSBridgeHTTPServer
import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads
import SMSPortalEvents
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// `smsbridge check`: whether the promises hold with these settings and this cluster, before anybody depends on them.
struct Check {
    private static let json = CommandOption<Bool>("--json", help: "Write JSON to standard output, one object per line.")
    private static let noEvent = CommandOption<Bool>(
        "--no-event", help: "Publish no test events, and do not test write permissions.")

    static let command = Command(
        "check", summary: "Preflight check of settings, connectivity, topics and permissions",
        discussion: """
            Looks at the settings, the ports, the spool's folder, the brokers, and each topic: replication,
            min.insync.replicas, unclean election, message size, retention, timestamps. Tries what this user may do, and
            names the kafka-acls.sh command for what is missing. Publishes eleven events of the vendor's sample number to
            the test topic with the bridge's own producer, and holds the time of their acknowledgement against
            publish.hedge. Makes no topic. Lines begin with ok, warning, failed or cannot tell.
            Exit codes: 0; 1 something breaks a promise; 2 the settings are wrong.
            """,
        options: [json, noEvent], settings: .init(needs: .kafka, readsServerKey: true),
        examples: [.init("before the first start", "smsbridge check --config /etc/smsbridge.yaml")]
    ) { run($0, $1) }

    enum Verdict: String {
        case ok, warning, failed
        case unknown = "cannot tell"
    }

    let settings: BridgeSettings
    private let isJSON: Bool
    let publishes: Bool
    private var failures = 0

    static func run(_ invocation: Invocation, _ loaded: LoadedSettings) -> Int32 {
        var check = Check(
            settings: loaded.settings, isJSON: invocation.isOn(json), publishes: !invocation.isOn(noEvent))
        check.tell(.ok, "settings", "\(loaded.effective.count { $0.source != .standard }) given, the others by default")
        for warning in loaded.warnings { check.tell(.warning, "settings", warning) }
        check.lookAtAuthentication()
        check.lookAtPorts()
        check.lookAtSpool()
        check.lookAtCertificates()
        check.lookAtCluster()
        if check.failures > 0 { Output.error("smsbridge check: \(check.failures) failed\n") }
        return check.failures > 0 ? ExitCode.failure : ExitCode.success
    }

    mutating func tell(_ verdict: Verdict, _ about: String, _ text: String) {
        if verdict == .failed { failures += 1 }
        guard isJSON else {
            let word = verdict.rawValue + String(repeating: " ", count: 12 - verdict.rawValue.utf8.count)
            return Output.line("\(word)\(about): \(text)")
        }
        Output.line(
            "{\"verdict\":\"\(verdict.rawValue)\",\"about\":\(JSONText.string(about)),\"text\":\(JSONText.string(text))}"
        )
    }

    // MARK: Here

    private mutating func lookAtAuthentication() {
        let auth = settings.auth
        if auth.none { return tell(.warning, "auth", "auth.none is true: all requests are accepted") }
        let ways = (auth.kinds.map { ($0.name, $0.holder.all.count) } + [("an address", auth.addresses.count)])
            .filter { $0.1 > 0 }.map { "\($0.0) (of \($0.1))" }
        guard !ways.isEmpty else {
            return tell(.failed, "auth", "no authentication configured: set auth.header.secrets, or auth.none: true")
        }
        let accounts = auth.accountNames.isEmpty ? "" : ", for \(auth.accountNames.count) accounts"
        let text = "callers show \(ways.joined(separator: " and "))\(accounts)"
        if auth.mode == .log {
            tell(.warning, "auth", text + "; auth.mode is log: other requests are accepted, too")
        } else {
            tell(.ok, "auth", text)
        }
    }

    /// A taken port is no fault where a bridge runs already.
    private mutating func lookAtPorts() {
        for (key, host, port) in [
            ("http.port", settings.http.host, settings.http.port),
            ("admin.port", settings.admin.host, settings.admin.port),
        ] where port != 0 {
            do throws(HTTPServerError) {
                for skipped in try HTTPServer.tryListening(host: host, port: port) {
                    let name = key.replacing(".port", with: ".host")
                    tell(
                        .warning, "ports",
                        "\(name): \(skipped.address) (\(host)) is skipped, this machine does not have it: \(skipped.reason)"
                    )
                }
            } catch {
                if error.code == EADDRINUSE {
                    tell(
                        .warning, "ports",
                        "\(key): \(host):\(port) is taken: by a bridge that runs, or by another program")
                } else {
                    tell(.failed, "ports", "\(key): cannot \(error)")
                }
            }
        }
    }

    private mutating func lookAtCertificates() {
        let now = Int64(time(nil))
        for expiry in (TLSFiles(settings)?.expiries ?? []) + KafkaFiles(settings.kafkaClient).expiries {
            let subject = expiry.first.map { " (\($0.subject))" } ?? ""
            let days = (expiry.end - now) / 86_400
            if expiry.end <= now {
                tell(.failed, "certificates", "\(expiry.setting)\(subject) expired \(-days) days ago")
            } else if let begin = expiry.first?.begin, begin > now {
                tell(.failed, "certificates", "\(expiry.setting)\(subject) is not valid yet")
            } else {
                tell(
                    expiry.end - now < CertificateMetrics.notice ? .warning : .ok, "certificates",
                    "\(expiry.setting)\(subject) expires in \(days) days")
            }
        }
    }

    private mutating func lookAtSpool() {
        guard !settings.spool.none else {
            return tell(.warning, "spool", "spool.none: while Kafka is late or away, callbacks are answered 503")
        }
        let path = settings.spool.path
        // The folder may be made by the bridge; then its parent must let it.
        var place = path
        while access(place, F_OK) != 0, let cut = place.lastIndex(of: "/"), place.count > 1 {
            place = cut == place.startIndex ? "/" : String(place[..<cut])
        }
        guard access(place + "/.", W_OK) == 0 else {
            return tell(
                .failed, "spool", "\(place) cannot be written: \(accessFailure(place, errno))")
        }
        var status = statvfs()
        guard statvfs(place, &status) == 0 else {
            return tell(.unknown, "spool", "\(place): \(String(cString: strerror(errno)))")
        }
        let free = Int(status.f_bavail) * Int(status.f_frsize)
        guard free >= settings.spool.maxBytes else {
            return tell(
                .warning, "spool",
                "\(path) has \(free >> 20)MiB free, less than spool.maxBytes (\(settings.spool.maxBytes >> 20)MiB): the disk decides how long Kafka may be away"
            )
        }
        tell(.ok, "spool", "\(path) may be written, \(free >> 20)MiB free")
    }
}
