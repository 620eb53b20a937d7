import Foundation
import SMSBridgeTestSupport
import Testing

/// Who gets in, with the built program: secrets that change while it serves, and a mode that lets everybody in.
@Suite(.serialized) struct CallerTests {
    private static let old = "old-secret-0123456789"
    private static let new = "new-secret-0123456789"

    /// A bridge without a Kafka, whose secrets are in a file; what it takes goes to its spool.
    private final class Served {
        let folder: TemporaryFolder
        let bridge: ServedBridge

        init(_ arguments: [String] = []) throws {
            folder = try TemporaryFolder()
            let path = folder.path
            try "\(CallerTests.old)\n".write(toFile: path + "/secrets", atomically: true, encoding: .utf8)
            bridge = try ServedBridge(
                ["--kafka-bootstrap-servers", "127.0.0.1:1", "--spool-path", path, "--spool-any-file-system"]
                    + arguments,
                environment: ["SMSBRIDGE_AUTH_HEADER_SECRETS_FILE": path + "/secrets"])
        }

        func write(_ text: String) throws {
            try text.write(toFile: folder.path + "/secrets", atomically: true, encoding: .utf8)
        }

        func status(_ secret: String) throws -> String {
            let client = try bridge.connect()
            client.send(
                ServedBridge.callback.replacingOccurrences(
                    of: "Host: a\r\n", with: "Host: a\r\nConnection: close\r\nX-Webhook-Secret: \(secret)\r\n"))
            return String(client.rest().split(separator: " ").dropFirst().first ?? "none")
        }

        func metric(_ name: String) throws -> String? {
            try bridge.admin("/metrics").split(separator: "\n").first { $0.hasPrefix(name + " ") }
                .map { String($0.dropFirst(name.count + 1)).trimmingCharacters(in: .whitespaces) }
        }
    }

    @Test func aChangedFileIsInForceWithoutARestart() throws {
        let served = try Served()
        #expect(try served.status(Self.old) == "200" && served.status(Self.new) == "401")
        try served.write("\(Self.old)\n\(Self.new)\n")
        #expect(try served.bridge.wait { try served.status(Self.new) == "200" }, "\(served.bridge.logged)")
        #expect(try served.status(Self.old) == "200", "both are valid")
        try served.write(Self.new)
        #expect(try served.bridge.wait { try served.status(Self.old) == "401" }, "\(served.bridge.logged)")
        #expect(try served.status(Self.new) == "200")
        #expect(try served.bridge.wait { try served.metric("smsbridge_secret_reloads_total") == "2" })
        #expect(served.bridge.logged.contains("secrets reloaded"))
        #expect(!served.bridge.logged.contains("0123456789"), "no secret is logged")
    }

    @Test(arguments: ["", "one-0123456789\ntwo-0123456789\nthree-0123456789\n", "näh-0123456789", nil])
    func aBadFileKeepsWhatWasThere(content: String?) throws {
        let served = try Served()
        if let content {
            try served.write(content)
        } else {
            try FileManager.default.removeItem(atPath: served.folder.path + "/secrets")
        }
        #expect(
            try served.bridge.wait { try served.bridge.admin("/readyz").contains("\"SmsbridgeSecretReloadFailed\":") },
            "\(served.bridge.logged)")
        let ready = try served.bridge.admin("/readyz")
        #expect(ready.hasPrefix("HTTP/1.1 200") && ready.contains("keeping the current secrets"))
        #expect(try served.metric("smsbridge_secret_reload_failed") == "1")
        #expect(
            try served.status(Self.old) == "200" && served.status("one-0123456789") == "401"
                && served.status("") == "401")
        try served.write(Self.new)
        #expect(try served.bridge.wait { try served.status(Self.new) == "200" }, "\(served.bridge.logged)")
        #expect(try served.metric("smsbridge_secret_reload_failed") == "0")
        #expect(try !served.bridge.admin("/readyz").contains("\"SmsbridgeSecretReloadFailed\":"))
        #expect(!served.bridge.logged.contains("0123456789"), "no secret is logged")
    }

    /// A file that never ends, or gives nothing, is reported as well, and the bridge does not wait for it.
    @Test(arguments: ["directory", "FIFO", "device", "socket"]) func whatIsNoFileKeepsWhatWasThere(kind: String) throws
    {
        let served = try Served(["--shutdown-delay", "0s", "--shutdown-deadline", "5s"])
        let path = served.folder.path + "/secrets"
        try FileManager.default.removeItem(atPath: path)
        var held: Int32 = -1
        defer { if held >= 0 { close(held) } }
        switch kind {
        case "directory": #expect(mkdir(path, 0o700) == 0)
        case "FIFO":
            #expect(mkfifo(path, 0o600) == 0)
            // Its other end is open and gives nothing.
            held = open(path, O_RDWR)
        case "device": try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/dev/zero")
        default:
            held = try #require(unixSocket(boundTo: path, type: Int32(SOCK_STREAM.rawValue)))
        }
        #expect(
            try served.bridge.wait {
                try served.bridge.admin("/readyz").contains("cannot read \(path): it is a \(kind), not a file")
            }, "\(served.bridge.logged)")
        #expect(try served.metric("smsbridge_secret_reload_failed") == "1")
        #expect(try served.status(Self.old) == "200" && served.status(Self.new) == "401")
        unlink(path)
        rmdir(path)
        try served.write(Self.new)
        #expect(try served.bridge.wait { try served.status(Self.new) == "200" }, "\(served.bridge.logged)")
        served.bridge.terminate()
        #expect(served.bridge.exitCode(within: 60) == 0, "\(served.bridge.logged)")
    }

    @Test func logModeLetsInAndIsLoud() throws {
        let served = try Served(["--auth-mode", "log"])
        #expect(served.bridge.logged.contains("ALL requests are accepted"))
        let ready = try served.bridge.admin("/readyz")
        #expect(ready.hasPrefix("HTTP/1.1 200") && ready.contains("\"SmsbridgeAuthNotEnforced\":\"auth.mode is log"))
        #expect(try served.metric("smsbridge_authentication_enforced") == "0")
        #expect(try served.status(Self.old) == "200")
        #expect(try served.metric("smsbridge_authentication_unenforced_total") == "0")
        #expect(try served.status("wrong") == "200" && served.status("") == "200")
        #expect(try served.metric("smsbridge_authentication_unenforced_total") == "2")
        #expect(try served.metric("smsbridge_authentication_failures_total{proof=\"header\"}") == "2")
    }

    /// `simulate` signs with the same settings, by code that shares nothing with the check.
    @Test(arguments: [
        "timestampHeader: X-Time",
        "timestampHeader: X-Time\n    encoding: base64\n    timestampUnit: ms\n    url: '{base}{tail}{query}'",
        "value: 't={timestamp},v1={signature}'\n    keyEncoding: hex\n    signed: '{timestamp}.{url}.{body}'\n    url: '{path}{query}'",
        "value: 'v1={signature},{any}'\n    timestampHeader: X-Time\n    keyEncoding: base64",
    ])
    func theSimulatorIsLetInWithTheSameSettingsAndNotWithOthers(scheme: String) throws {
        let folder = try TemporaryFolder()
        let path = folder.path
        for (index, account) in ["one", "two"].enumerated() {
            let key = String(repeating: "ab0\(index)", count: 8)
            try "header-of-\(account)-0123456789\n".write(
                toFile: "\(path)/header-\(account)", atomically: true, encoding: .utf8)
            try "\(key)\n".write(toFile: "\(path)/key-\(account)", atomically: true, encoding: .utf8)
        }
        func settings(_ base: String, swapped: Bool = false) -> String {
            """
            kafka:
              bootstrapServers: 127.0.0.1:1
            spool:
              path: \(path)
              anyFileSystem: true
            auth:
              header:
                accounts: {one: \(path)/header-one, two: \(path)/header-two}
              signature:
                accounts: {one: \(path)/key-\(swapped ? "two" : "one"), two: \(path)/key-\(swapped ? "one" : "two")}
                header: X-Signature
                baseUrl: \(base)
                \(scheme)

            """
        }
        let files = ["right", "wrong", "swapped"].map { "\(path)/\($0).yaml" }
        try settings("https://sms.example.com").write(toFile: files[0], atomically: true, encoding: .utf8)
        try settings("https://other.example.com").replacingOccurrences(of: "key-", with: "header-").write(
            toFile: files[1], atomically: true, encoding: .utf8)
        try settings("https://sms.example.com", swapped: true).write(
            toFile: files[2], atomically: true, encoding: .utf8)
        let bridge = try ServedBridge(["--config", files[0]], environment: [:])

        func simulate(_ file: String, _ account: [String]) throws -> Run {
            try smsbridge(
                [
                    "simulate", "--config", file, "--url", "http://127.0.0.1:\(bridge.port)", "--rate", "0", "--count",
                    "60",
                    "--attempts", "2", "--backoff", "1ms", "--json",
                ] + account)
        }
        for account in ["one", "two"] {
            let run = try simulate(files[0], ["--account", account])
            #expect(run.exitCode == 0 && run.output.contains(#""accepted":60"#), "\(run.output) \(run.errors)")
        }
        for file in files[1...] where !(scheme.contains("keyEncoding") && file == files[1]) {
            let run = try simulate(file, ["--account", "one"])
            #expect(run.exitCode == 1 && run.output.contains(#""accepted":0"#), "\(run.output) \(run.errors)")
            #expect(run.output.contains(#""401":"#))
        }
        for account in [[], ["--account", "three"]] {
            let run = try simulate(files[0], account)
            #expect(run.exitCode == 2 && run.errors.contains("--account: expected one of: one, two"))
        }
        let papers = try smsbridge([
            "templates", "--config", files[0], "--account", "two", "--show-secrets", "--type", "reply",
        ])
        #expect(papers.output.contains("header-of-two-0123456789") && papers.exitCode == 0, "\(papers.errors)")
        #expect(
            papers.output.contains("https://sms.example.com/webhooks/reply") == !scheme.contains("tail")
                || scheme.contains("'{path}"))
    }

    @Test func whoIsKeptOutIsSaidToBe() throws {
        let served = try Served()
        #expect(try served.metric("smsbridge_authentication_enforced") == "1")
        #expect(try !served.bridge.admin("/readyz").contains("authentication"))
    }
}
