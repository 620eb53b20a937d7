import FoundationEssentials
import Testing

@testable import Settings

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
}
