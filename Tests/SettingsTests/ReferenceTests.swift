import FoundationEssentials
import Testing

@testable import SMSBridgeSettings

@Suite struct ReferenceTests {
    private let path = #filePath.replacing("Tests/SettingsTests/ReferenceTests.swift", with: "docs/configuration.md")

    /// To renew it: `UPDATE_DOCS=1 swift test --filter ReferenceTests`.
    @Test func theReferenceInDocsIsTheOneThatTheDeclarationsMake() throws {
        let made = Array(SettingsReference.markdown().utf8)
        if ProcessInfo.processInfo.environment["UPDATE_DOCS"] == "1" {
            try Data(made).write(to: URL(filePath: path))
        }
        #expect(
            try readWholeFile(path).get() == made,
            "docs/configuration.md is not up to date: UPDATE_DOCS=1 swift test --filter ReferenceTests")
    }

    @Test func theExampleFileIsRightAndChangesNothingThatItDoesNotSay() throws {
        let given = Given(
            yaml: SettingsReference.exampleFile(), files: ["/run/secrets/smsbridge-header": "0123456789abcdef"],
            needs: .serve)
        let loaded = try given.load().get()
        #expect(
            Set(loaded.sources.keys) == ["kafka.bootstrapServers", "auth.header.secrets", "auth.header.secretsFile"])
        #expect(loaded.warnings.isEmpty)
    }

    @Test func theExampleFileIsRightWithEverythingUncommented() throws {
        // What is commented out is a key or a list item; explanations are sentences and end with a full stop.
        let lines = SettingsReference.exampleFile().split(separator: "\n").filter { line in
            let isNote = line.drop { $0 == " " }.hasPrefix("# ") && line.hasSuffix(".")
            let isTitle = line.hasPrefix("# ")
            let isOtherForm = line.contains("secretsFile: \"\"") || line.contains("secrets: []")
            return !isNote && !isTitle && !isOtherForm
        }
        let given = Given(
            yaml: lines.map { $0.replacing("# ", with: "", maxReplacements: 1) }.joined(separator: "\n"),
            files: ["/run/secrets/smsbridge-header": "0123456789abcdef", "/run/secrets/kafka-password": "x\n"],
            needs: .serve)
        let loaded = try given.load().get()
        var expected = BridgeSettings()
        expected.kafka = loaded.settings.kafka
        expected.auth = loaded.settings.auth
        expected.events.fields = ["delivery-status": ["MobileNumber": "msisdn"]]
        #expect(loaded.settings == expected)
        #expect(loaded.sources.count > 45)
    }

    @Test func everySettingIsDocumented() {
        let texts = [SettingsReference.markdown(), SettingsReference.plainText()]
        for declaration in Declaration.all {
            #expect(declaration.documentation.hasSuffix("."), "\(declaration.key)")
            for text in texts {
                #expect(text.contains(declaration.key) && text.contains(declaration.environmentName))
                #expect(text.contains(declaration.flag))
            }
        }
    }
}
