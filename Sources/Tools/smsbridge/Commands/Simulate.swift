import SMSBridgeFiles
import SMSBridgeSettings
import SMSPortalEvents
import SMSPortalSimulator
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// `smsbridge simulate`
enum Simulate {
    private static let url = CommandOption<String>(
        "--url", "URL", .anyText("url"), isRequired: true,
        help: "where the bridge is, such as http://127.0.0.1:8080; /webhooks/<type> is put behind it.")
    private static let types = CommandOption<[String]>(
        "--types", "TYPES", .words(EventType.recognised.map(\.rawValue)),
        help: "Only these types, separated by commas: \(EventType.recognised.map(\.rawValue).joined(separator: ",")).")
    private static let generations = CommandOption<[String]>(
        "--generations", "NAMES", .words(CallbackGeneration.allCases.map(\.rawValue)),
        help: "Only these generations: \(CallbackGeneration.allCases.map(\.rawValue).joined(separator: ",")).")
    private static let rate = CommandOption<Double>(
        "--rate", "R", .number(0...1_000_000), default: 10, help: "New callbacks a second; 0 for as many as possible.")
    private static let count = CommandOption<Int>(
        "--count", "N", .integer(1...Int.max), help: "End after so many callbacks.")
    private static let duration = CommandOption<Duration>(
        "--duration", "TIME", .duration(.milliseconds(1)...(.seconds(31_536_000))),
        help: "Send new callbacks for so long, such as 30s or 2h.")
    private static let clients = CommandOption<Int>(
        "--clients", "N", .integer(1...10_000), default: 16, help: "Connections, hence requests in flight, at most.")
    private static let seed = CommandOption<Int>(
        "--seed", "N", .integer(0...Int.max), default: 1, help: "The same seed sends the same callbacks.")
    private static let duplicates = CommandOption<Double>(
        "--duplicates", "P", .number(0...1), default: 0, help: "Share of callbacks that are sent again though received."
    )
    private static let malformed = CommandOption<Double>(
        "--malformed", "P", .number(0...1), default: 0, help: "Share of callbacks that are malformed.")
    private static let tests = CommandOption<Double>(
        "--tests", "P", .number(0...1), default: 0,
        help: "Share of callbacks with the vendor's sample number, which go to the test topic.")
    private static let attempts = CommandOption<Int>(
        "--attempts", "N", .integer(1...100), default: 5, help: "How often a callback is sent before it is given up.")
    private static let backoff = CommandOption<Duration>(
        "--backoff", "TIME", .duration(.milliseconds(1)...(.seconds(86_400))), default: .milliseconds(200),
        help: "The pause before the second attempt; it doubles. The vendor's is not known.")
    private static let timeout = CommandOption<Duration>(
        "--timeout", "TIME", .duration(.milliseconds(1)...(.seconds(3_600))), default: .seconds(10),
        help: "How long an answer may take; the vendor's is 10s.")
    private static let certificates = CommandOption<String>(
        "--ca", "FILE", .anyText("file"), help: "Certificates, PEM, that a bridge with https is trusted by.")
    private static let json = CommandOption<Bool>("--json", help: "Write the figures as one JSON object.")

    static let command = Command(
        "simulate", summary: "Simulate SMSPortal: send callbacks of every type and generation",
        discussion: """
            Behaves as the vendor: waits 10 s for an answer, takes any 2xx for received, tries five times with
            exponential back-off, and gives up. The secrets are the first ones of the settings auth.*, and requests are
            signed as auth.signature says, so that the same environment serves bridge and simulator. Ctrl-C ends it,
            with the figures so far.
            Exit codes: 0 every callback was accepted; 1 some were given up, refused for good or abandoned; 2 the command
            line or the settings are wrong.
            """,
        options: [
            url, types, generations, rate, count, duration, clients, seed, duplicates, malformed, tests, attempts,
            backoff, timeout, certificates, CallerSecrets.account, json,
        ],
        settings: .init(needs: [], sections: ["auth"]),
        examples: [
            .init(
                "a hundred callbacks a second for a minute",
                "smsbridge simulate --url http://127.0.0.1:8080 --rate 100 --duration 60s"),
            .init(
                "a thousand replies as fast as they are answered, one in ten sent twice, for a script",
                "smsbridge simulate --url https://sms.example.com --types reply --count 1000 --rate 0 --duplicates 0.1 --json"
            ),
        ]
    ) { run($0, $1.settings) }

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        let account = invocation.value(of: CallerSecrets.account)
        guard let secrets = CallerSecrets(settings.auth, account: account, command: "simulate") else {
            return ExitCode.usage
        }
        var configuration = SimulatorConfiguration(url: invocation.value(of: url) ?? "")
        configuration.authentication = secrets.authentication
        configuration.rate = invocation.value(of: rate) ?? 10
        configuration.count = invocation.value(of: count).map(UInt64.init)
        configuration.duration = invocation.value(of: duration)
        configuration.types = Set((invocation.value(of: types) ?? []).compactMap(EventType.init))
        configuration.generations = Set((invocation.value(of: generations) ?? []).compactMap(CallbackGeneration.init))
        configuration.clients = invocation.value(of: clients) ?? 16
        configuration.seed = UInt64(invocation.value(of: seed) ?? 1)
        configuration.duplicates = invocation.value(of: duplicates) ?? 0
        configuration.malformed = invocation.value(of: malformed) ?? 0
        configuration.tests = invocation.value(of: tests) ?? 0
        configuration.attempts = invocation.value(of: attempts) ?? 5
        configuration.backoff = invocation.value(of: backoff) ?? .milliseconds(200)
        configuration.timeout = invocation.value(of: timeout) ?? .seconds(10)
        configuration.caFile = invocation.value(of: certificates)
        configuration.progressInterval = .milliseconds(250)
        if let file = configuration.caFile, access(file, R_OK) != 0 {
            Output.error("smsbridge simulate: --ca: cannot read \(file): \(accessFailure(file, errno))\n")
            return ExitCode.usage
        }
        let (count, duration) = (configuration.count, configuration.duration)
        do {
            let simulator = try Simulator(configuration)
            Interrupts.handle { simulator.stop() }
            let bar = Mutex(Progress("sent", total: Int64(clamping: count ?? 0)))
            let report = simulator.run(progress: { now in
                let byCount = count.map { Double(now.sent) / Double($0) }
                let byTime = duration.map { now.elapsed / $0 }
                let share = byCount.map { max($0, byTime ?? 0) } ?? byTime
                bar.withLock {
                    $0.update(share: share) {
                        "\(now.elapsed.components.seconds)s: sent \(now.sent), accepted \(now.accepted), "
                            + "retried \(now.retried), lost \(now.lost)"
                    }
                }
            })
            bar.withLock { $0.end() }
            if invocation.isOn(json) { Output.line(report.json) } else { report.lines.forEach(Output.line) }
            if report.failures[.certificate] != nil {
                let trusted = configuration.caFile.map { "the certificates of \($0)" } ?? "this system's certificates"
                Output.error(
                    "smsbridge simulate: the bridge's certificate is not trusted by \(trusted), has expired or is for another "
                        + "name: --ca FILE names the certificate, or its authority's, in PEM\n")
            }
            if let failure = report.failure {
                Output.error("smsbridge simulate: \(failure)\n")
                return ExitCode.failure
            }
            return report.givenUp + report.refusedForGood + report.abandoned == 0 ? ExitCode.success : ExitCode.failure
        } catch {
            Output.error("smsbridge simulate: \(error)\n")
            return ExitCode.usage
        }
    }
}

extension SimulatorReport {
    /// The figures, one a line.
    var lines: [String] {
        func milliseconds(_ microseconds: UInt64) -> String {
            "\(microseconds / 1_000).\((microseconds % 1_000) / 100)ms"
        }
        var lines = [
            "sent       \(sent)" + (malformed > 0 ? " (\(malformed) malformed on purpose)" : ""),
            "accepted   \(accepted)",
            "retried    \(retried)",
            "given up   \(givenUp)",
            "rate       \(Int(perSecond.rounded())) requests a second over \((elapsed / .milliseconds(100)).rounded() / 10)s",
        ]
        if refusedForGood > 0 { lines.append("refused for good  \(refusedForGood)") }
        if abandoned > 0 { lines.append("abandoned  \(abandoned)") }
        if duplicates > 0 { lines.append("duplicates \(duplicates)") }
        let statuses = byStatus.sorted { $0.key < $1.key }.map { "\($0.value) × \($0.key)" }
        let failures = failures.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.value) × \($0.key.rawValue)" }
        lines.append("answers    \((statuses + failures).joined(separator: ", "))")
        lines.append("latency    p50 \(milliseconds(p50)), p99 \(milliseconds(p99)), max \(milliseconds(max))")
        return lines
    }
    /// Whole answers a second.
    private var perSecond: Double { elapsed > .zero ? Double(latency.count) / (elapsed / .seconds(1)) : 0 }

    /// The figures as one object.
    var json: String {
        func object(_ pairs: [(String, UInt64)]) -> String {
            "{" + pairs.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
        }
        let figures = object([
            ("sent", sent), ("accepted", accepted), ("retried", retried), ("givenUp", givenUp),
            ("refusedForGood", refusedForGood), ("abandoned", abandoned), ("duplicates", duplicates),
            ("malformed", malformed), ("requests", requests),
        ])
        let statuses = object(byStatus.sorted { $0.key < $1.key }.map { ("\($0.key)", $0.value) })
        let failures = object(failures.sorted { $0.key.rawValue < $1.key.rawValue }.map { ($0.key.rawValue, $0.value) })
        let times = object([("p50", p50), ("p99", p99), ("max", max)])
        return "\(figures.dropLast()),\"elapsedSeconds\":\((elapsed / .milliseconds(1)).rounded() / 1_000),"
            + "\"perSecond\":\((perSecond * 10).rounded() / 10),\"statuses\":\(statuses),\"failures\":\(failures),"
            + "\"latencyMicroseconds\":\(times)}"
    }
}
