import Foundation
import Testing

/// `simulate` against a bridge whose certificate is the test's own.
struct SimulateTLSTests {
    @Test func anUntrustedCertificateIsNamedWithTheFlagThatTrustsIt() throws {
        let folder = try TemporaryFolder()
        let (certificate, key) = (folder.path + "/bridge.pem", folder.path + "/bridge.key")
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        openssl.arguments =
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
            .split(separator: " ").map(String.init) + ["-keyout", key, "-out", certificate]
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
        try #require(openssl.terminationStatus == 0)
        let bridge = try ServedBridge([
            "--kafka-bootstrap-servers", "127.0.0.1:1", "--spool-path", folder.path + "/spool",
            "--spool-any-file-system", "--http-tls-certificate", certificate, "--http-tls-key", key,
        ])
        let arguments = ["simulate", "--url", "https://127.0.0.1:\(bridge.port)", "-n", "1", "--attempts", "1"]
        let untrusted = try smsbridge(arguments)
        #expect(untrusted.exitCode == 1)
        #expect(
            untrusted.errors.contains("certificate is not trusted by this system's certificates"), "\(untrusted.errors)"
        )
        #expect(untrusted.errors.contains("--ca FILE"))
        #expect(untrusted.output.contains("1 × certificate"), "\(untrusted.output)")
        let trusted = try smsbridge(arguments + ["--ca", certificate])
        #expect(trusted.exitCode == 0, "\(trusted.errors)\(trusted.output)")
        #expect(!trusted.errors.contains("--ca"))
    }
}
