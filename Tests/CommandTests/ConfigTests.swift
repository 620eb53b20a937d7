import Foundation
import Testing

/// `smsbridge config`, and the flags of one letter.
struct ConfigTests {
    @Test func theGeneratedFileIsValidAsItIs() throws {
        let folder = try TemporaryFolder()
        let generated = try smsbridge(["config", "init", "-b", "kafka:9093", "--spool-path", folder.path + "/spool"])
        #expect(generated.exitCode == 0 && generated.errors.isEmpty, "\(generated.errors)")
        let secret = folder.path + "/webhook-secret"
        try "0123456789abcdef0123456789abcdef\n".write(toFile: secret, atomically: true, encoding: .utf8)
        let file = folder.path + "/smsbridge.yaml"
        try generated.output.replacing("secretsFile: webhook-secret", with: "secretsFile: \(secret)")
            .write(toFile: file, atomically: true, encoding: .utf8)
        let checked = try smsbridge(["config", "check", "-c", file])
        #expect(checked.exitCode == 0, "\(checked.errors)")
        #expect(
            checked.output.contains("valid, 4 settings are not defaults; no connection was made"), "\(checked.output)")
    }

    @Test func checkNamesEveryProblemAndConnectsToNothing() throws {
        let folder = try TemporaryFolder()
        let file = folder.path + "/smsbridge.yaml"
        try """
        kafka:
          bootstrapServers: kafka.example.invalid:9092
        http:
          prt: 80
        auth:
          header:
            secretsFile: \(folder.path)/none

        """.write(toFile: file, atomically: true, encoding: .utf8)
        let run = try smsbridge(["config", "check", "--config", file])
        #expect(run.exitCode == 2)
        #expect(run.errors.contains(":4:3: http.prt:") && run.errors.contains("http.port"), "\(run.errors)")
        #expect(run.errors.contains("none: No such file or directory"), "\(run.errors)")
    }

    @Test func showHidesSecretsAndNamesEachSource() throws {
        let folder = try TemporaryFolder()
        let file = folder.path + "/smsbridge.yaml"
        try "kafka:\n  bootstrapServers: a:9092\n  properties:\n    sasl.password: hunter2-hunter2-hunter2\n"
            .write(toFile: file, atomically: true, encoding: .utf8)
        let environment = ["SMSBRIDGE_AUTH_HEADER_SECRETS": "topsecret-topsecret-topsecret"]
        let run = try smsbridge(["config", "show", "-c", file, "--http-port", "8081"], environment: environment)
        #expect(run.exitCode == 0, "\(run.errors)")
        let rows = run.output.split(separator: "\n").map { $0.split(separator: " ", maxSplits: 2).map(String.init) }
        #expect(rows.first?.first == "SETTING")
        func source(_ key: String) -> (value: String, source: String)? {
            rows.first { $0.first == key && $0.count == 3 }
                .map { ($0[1], $0[2].trimmingCharacters(in: .whitespaces)) }
        }
        #expect(source("http.port")?.value == "8081" && source("http.port")?.source == "flag --http-port")
        #expect(source("kafka.bootstrapServers")?.source == "\(file):2:21")
        #expect(source("auth.header.secrets")?.value == "…")
        #expect(source("auth.header.secrets")?.source == "environment variable SMSBRIDGE_AUTH_HEADER_SECRETS")
        #expect(!(run.output + run.errors).contains("topsecret") && !(run.output + run.errors).contains("hunter2"))
        #expect(source("http.host") == nil)
        let all = try smsbridge(["config", "show", "--all", "--json"])
        #expect(all.output.contains(#"{"key":"http.host","value":"0.0.0.0","source":"default"}"#), "\(all.output)")
    }

    @Test func flagsOfOneLetterAreTheLongOnes() throws {
        let folder = try TemporaryFolder()
        let none = folder.path + "/none.yaml"
        let run = try smsbridge(["tail", "-c", none, "-b", "a:1", "-n", "x", "-o", "yesterday"])
        #expect(run.exitCode == 2)
        for flag in ["--config: cannot read \(none)", "flag --count: expected", "flag --from: expected"] {
            #expect(run.errors.contains(flag), "\(flag): \(run.errors)")
        }
        #expect(try smsbridge(["tail", "--help"]).output.contains("-n, --count N"))
        // Where the long one is not, the short one is not either.
        #expect(try smsbridge(["completions", "-n", "5"]).errors.contains("-n: unknown flag"))
    }
}
