import SMSPortalEvents
import SMSPortalSimulator
import Settings

/// `smsbridge simulate`
enum Simulate {
    private static let url = CommandOption<String>(
        "--url", "URL", .anyText("url"), isRequired: true,
        help: "where the bridge is, such as http://127.0.0.1:8080; /webhooks/<type> is put behind it.")
    private static let rate = CommandOption<Double>(
        "--rate", "R", .number(0...1_000_000), default: 10, help: "New callbacks a second; 0 for as many as possible.")
    private static let count = CommandOption<Int>(
        "--count", "N", .integer(1...Int.max), help: "End after so many callbacks.")
    private static let seconds = CommandOption<Double>(
        "--seconds", "N", .number(0...31_536_000), help: "Send new callbacks for so long.")
    private static let clients = CommandOption<Int>(
        "--clients", "N", .integer(1...10_000), default: 16, help: "Connections.")
    private static let seed = CommandOption<Int>(
        "--seed", "N", .integer(0...Int.max), default: 1, help: "The same seed sends the same callbacks.")
    private static let duplicates = CommandOption<Double>(
        "--duplicates", "P", .number(0...1), default: 0, help: "Share of callbacks that are sent again though received."
    )
    private static let malformed = CommandOption<Double>(
        "--malformed", "P", .number(0...1), default: 0, help: "Share of callbacks that are malformed.")

    static let command = Command(
        "simulate", summary: "Play SMSPortal: send callbacks of every type and generation",
        discussion: """
            Behaves as the vendor: waits 10 s for an answer, takes any 2xx for received, tries five times with
            exponential back-off, and gives up. The secrets are the first ones of the settings auth.*, so that the
            same environment serves bridge and simulator.
            """,
        options: [url, rate, count, seconds, clients, seed, duplicates, malformed],
        settings: .init(needs: [], sections: ["auth"]),
        examples: [
            .init(
                "a hundred callbacks a second for a minute",
                "smsbridge simulate --url http://127.0.0.1:8080 --rate 100 --seconds 60")
        ])

    static func run(_ invocation: Invocation, _ settings: BridgeSettings) -> Int32 {
        var configuration = SimulatorConfiguration(url: invocation.value(of: url) ?? "")
        configuration.authentication = settings.simulatorAuthentication
        configuration.rate = invocation.value(of: rate) ?? 10
        configuration.count = invocation.value(of: count).map(UInt64.init)
        configuration.duration = invocation.value(of: seconds).map { .milliseconds(Int64($0 * 1_000)) }
        configuration.clients = invocation.value(of: clients) ?? 16
        configuration.seed = UInt64(invocation.value(of: seed) ?? 1)
        configuration.duplicates = invocation.value(of: duplicates) ?? 0
        configuration.malformed = invocation.value(of: malformed) ?? 0
        do {
            let simulator = try Simulator(configuration)
            Interrupts.handle { simulator.stop() }
            let report = simulator.run(progress: { progress in
                Output.error(
                    "\(progress.elapsed.components.seconds) s: sent \(progress.sent), accepted \(progress.accepted), "
                        + "retried \(progress.retried), lost \(progress.lost)\n")
            })
            for line in report.lines { Output.line(line) }
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

extension BridgeSettings {
    /// The secrets with which a simulator gets past this configuration.
    var simulatorAuthentication: SimulatorAuthentication {
        SimulatorAuthentication(
            headerName: auth.header.name, headerSecret: auth.header.secrets.first?.exposed,
            pathSecret: auth.path.secrets.first?.exposed, querySecret: auth.query.secrets.first?.exposed)
    }
}

extension SimulatorReport {
    /// The figures, one a line.
    var lines: [String] {
        func milliseconds(_ microseconds: UInt64) -> String {
            "\(microseconds / 1_000).\((microseconds % 1_000) / 100) ms"
        }
        var lines = [
            "sent       \(sent)" + (malformed > 0 ? " (\(malformed) malformed on purpose)" : ""),
            "accepted   \(accepted)",
            "retried    \(retried)",
            "given up   \(givenUp)",
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
}
