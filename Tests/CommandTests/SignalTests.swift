import Foundation
import SMSBridgeKafka
import Testing

/// What `serve` does on signals, and where the machine lacks what it usually has.
@Suite(.serialized) struct SignalTests {
    private static let noKafka = ["--kafka-bootstrap-servers", "127.0.0.1:1"]
    private static let secret = "old-secret-0123456789"

    private func spool(_ folder: TemporaryFolder) -> [String] {
        ["--spool-path", folder.path, "--spool-any-file-system"]
    }

    private func status(_ bridge: ServedBridge, _ secret: String = "") throws -> String {
        let client = try bridge.connect()
        client.send(
            ServedBridge.callback.replacingOccurrences(
                of: "Host: a\r\n", with: "Host: a\r\nConnection: close\r\nX-Webhook-Secret: \(secret)\r\n"))
        return String(client.rest().split(separator: " ").dropFirst().first ?? "none")
    }

    /// The fields of the last line with this message.
    private func fields(_ message: String, in bridge: ServedBridge) -> [String: String]? {
        for line in bridge.logged.split(separator: "\n").reversed() {
            guard let fields = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
                fields["message"] as? String == message
            else { continue }
            return fields.mapValues { "\($0)" }
        }
        return nil
    }

    private static let finished = "reload finished"
    private static let failed = "reload finished, failed files keep their previous content"

    private func count(_ text: String, in bridge: ServedBridge) -> Int {
        bridge.logged.components(separatedBy: "\"\(text)\"").count - 1
    }

    // MARK: Signals

    @Test func otherSignalsThanThoseToEndItLeaveItServing() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge(Self.noKafka + spool(folder) + ["--shutdown-delay", "0s"])
        var signals = [SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGXFSZ]
        #if os(Linux)
        signals += [SIGPWR, SIGSTKFLT, __libc_current_sigrtmin(), __libc_current_sigrtmax()]
        #endif
        for signal in signals {
            #expect(kill(bridge.identifier, signal) == 0)
            #expect(try status(bridge) == "200", "after signal \(signal): \(bridge.logged)")
        }
        // Nothing to reload is said, too.
        #expect(bridge.wait { count(Self.finished, in: bridge) == 1 }, "\(bridge.logged)")
        #expect(fields(Self.finished, in: bridge)?["secrets"] == "none")
        bridge.terminate()
        #expect(bridge.exitCode(within: 60) == 0, "\(bridge.logged)")
    }

    @Test func aReloadWhileItStartsDoesNotEndIt() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge.openingItsSpool(in: folder)
        kill(bridge.identifier, SIGHUP)
        #expect(try bridge.admin("/healthz").hasPrefix("HTTP/1.1 200"))
        bridge.terminate()
        #expect(bridge.exitCode(within: 60) == 0, "\(bridge.logged)")
    }

    @Test func hangupReloadsSecretsAndCertificatesAndSaysSo() throws {
        let folder = try TemporaryFolder()
        let (secrets, authorities) = (folder.path + "/secrets", folder.path + "/ca.pem")
        func write(_ text: String, to path: String) throws {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
        }
        try write(Self.secret, to: secrets)
        try write(Self.authority, to: authorities)
        let bridge = try ServedBridge(
            Self.noKafka + spool(folder)
                + [
                    "--kafka-properties", "security.protocol=ssl", "--kafka-properties",
                    "ssl.ca.location=\(authorities)",
                ],
            environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": secrets])
        func reload() -> [String: String] {
            let before = (count(Self.finished, in: bridge), count(Self.failed, in: bridge))
            kill(bridge.identifier, SIGHUP)
            #expect(
                bridge.wait { (count(Self.finished, in: bridge), count(Self.failed, in: bridge)) != before },
                "\(bridge.logged)")
            let isFailed = count(Self.failed, in: bridge) > before.1
            return fields(isFailed ? Self.failed : Self.finished, in: bridge) ?? [:]
        }
        let first = reload()
        #expect(first["secrets"] == "unchanged" && first["kafkaCertificates"] == "unchanged", "\(first)")
        #expect(first["httpCertificate"] == "none")
        // The files are looked at from time to time, too: a slow machine may find them changed before it is asked.
        var results: [String: String] = [:]
        var secret = ""
        for round in 1...20 {
            secret = "secret-of-round-\(round)-0123456789"
            try write(secret, to: secrets)
            try write(Self.authority + "# \(round)\n", to: authorities)
            results = reload()
            #expect(try status(bridge, secret) == "200", "it is in force by the time of the log line")
            if results["secrets"] == "reloaded", results["kafkaCertificates"] == "reloaded" { break }
        }
        #expect(results["secrets"] == "reloaded" && results["kafkaCertificates"] == "reloaded", "\(results)")
        #expect(try status(bridge, Self.secret) == "401")
        // What cannot be used is named, and nothing changes.
        try write("", to: secrets)
        try FileManager.default.removeItem(atPath: authorities)
        results = reload()
        #expect(results["secrets"] == "failed" && results["kafkaCertificates"] == "failed", "\(results)")
        #expect(results["level"] == "error")
        let reason = fields("secret reload failed, keeping the current secrets", in: bridge)?["reason"] ?? ""
        #expect(reason.contains("auth.header.secretsFile") && reason.contains(secrets), "\(reason)")
        let other =
            fields("Kafka certificate reload failed, keeping the current certificates", in: bridge)?["reason"] ?? ""
        #expect(other.contains("ssl.ca.location") && other.contains("No such file"), "\(other)")
        #expect(try status(bridge, secret) == "200")
        #expect(try bridge.admin("/readyz").contains("\"SmsbridgeSecretReloadFailed\":"))
        #expect(!bridge.logged.contains("0123456789"), "no secret is logged")
    }

    // MARK: The machine

    @Test(.enabled(if: MountNamespace.isGranted, "needs a mount namespace"), arguments: ["2001:db8::1", "192.0.2.1"])
    func addressesThatTheMachineLacksAreSkipped(missing: String) throws {
        let folder = try TemporaryFolder()
        let hosts = folder.path + "/hosts"
        // The same address twice, as some hosts files have it.
        try "\(missing) two.test\n127.0.0.1 two.test\n127.0.0.1 two.test\n\(missing) none.test\n"
            .write(toFile: hosts, atomically: true, encoding: .utf8)
        let mounts = "mount --bind \"\(hosts)\" /etc/hosts"
        let bridge = try ServedBridge(
            Self.noKafka + spool(folder) + ["--shutdown-delay", "0s"], host: "two.test", mounts: mounts)
        #expect(try status(bridge) == "200")
        #expect(try bridge.admin("/healthz").hasPrefix("HTTP/1.1 200"))
        let lines = bridge.logged.split(separator: "\n").filter { $0.contains("address skipped") }
        #expect(lines.count == 2 && lines.allSatisfy { $0.contains("\"\(missing)\"") }, "\(bridge.logged)")
        #expect(lines.contains { $0.contains("\"http.host\"") } && lines.contains { $0.contains("\"admin.host\"") })
        bridge.terminate()
        #expect(bridge.exitCode(within: 60) == 0, "\(bridge.logged)")
        let other = try TemporaryFolder()
        let none = try ServedBridge(
            Self.noKafka + spool(other), notServingBut: ServedBridge.freePort(), host: "none.test", mounts: mounts)
        #expect(none.exitCode(within: 60) == 1)
        #expect(none.logged.contains(missing) && none.logged.contains("cannot serve"), "\(none.logged)")
    }

    /// A port that is taken on one address is another program's: half of the callers would reach it.
    @Test(.enabled(if: MountNamespace.isGranted, "needs a mount namespace"))
    func anAddressWhosePortIsTakenIsNotSkipped() throws {
        let folder = try TemporaryFolder()
        let hosts = folder.path + "/hosts"
        try "127.0.0.1 two.test\n127.0.0.2 two.test\n".write(toFile: hosts, atomically: true, encoding: .utf8)
        let first = try ServedBridge(Self.noKafka + spool(folder), host: "127.0.0.2")
        let other = try TemporaryFolder()
        let second = try ServedBridge(
            Self.noKafka + spool(other), notServingBut: ServedBridge.freePort(), httpPort: first.port, host: "two.test",
            mounts: "mount --bind \"\(hosts)\" /etc/hosts")
        #expect(second.exitCode(within: 60) == 1)
        #expect(second.logged.contains("127.0.0.2:\(first.port): Address already in use"), "\(second.logged)")
    }

    #if os(Linux)
    @Test(.enabled(if: MountNamespace.isGranted, "needs a mount namespace")) func withoutProcItServes() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge(
            Self.noKafka + spool(folder) + ["--shutdown-delay", "0s"], mounts: "mount -t tmpfs none /proc")
        #expect(try status(bridge) == "200")
        #expect(try bridge.admin("/metrics").contains("smsbridge_build_info"))
        #expect(try bridge.admin("/").hasPrefix("HTTP/1.1 200"))
        bridge.terminate()
        #expect(bridge.exitCode(within: 60) == 0, "\(bridge.logged)")
    }
    #endif

    /// A self-signed authority, valid for a hundred years.
    private static let authority = """
        -----BEGIN CERTIFICATE-----
        MIIBkTCCATegAwIBAgIUVdswRMZ3XSaozUoMgoYbd6oGQcswCgYIKoZIzj0EAwIw
        HTEbMBkGA1UEAwwSYXV0aG9yaXR5IG9mIHRlc3RzMCAXDTI2MTEyODA5NTMyNFoY
        DzIxMjYxMTA0MDk1MzI0WjAdMRswGQYDVQQDDBJhdXRob3JpdHkgb2YgdGVzdHMw
        WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASXLJsZUD4K/G83etLlEHrk8pRe5xpk
        dcOXPhhr7oIILvqNs4xNkZalI1bvH0tdW5PfpzslCDzydx63keILmr5io1MwUTAd
        BgNVHQ4EFgQUr6jgmqp0sD/KD58LwhU/Mr2qqWwwHwYDVR0jBBgwFoAUr6jgmqp0
        sD/KD58LwhU/Mr2qqWwwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBF
        AiEA3+N17zajDjL1ajQKJSAQ2KCmT0RtvmOnxIW2/fPodMQCIFEZImNfw6Wj8iaG
        zhnxIL3+DTFYp+21TDOiD12asw68
        -----END CERTIFICATE-----

        """
}
