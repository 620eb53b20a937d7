@testable import SMSBridgeSettings

/// What the four sources hold in a test; files are imaginary.
struct Given: Sendable {
    var yaml: String?
    var environment: [String: String] = [:]
    var arguments: [String] = []
    var files: [String: String] = [:]
    var needs: SettingsNeeds = []

    func load() -> Result<LoadedSettings, SettingsFailure> {
        var scanner = ArgumentScanner(known: SettingsLoader.flagKinds, synonyms: SettingsLoader.flagSynonyms)
        scanner.scan(yaml == nil ? arguments : arguments + ["--config", "bridge.yaml"])
        var loader = SettingsLoader(environment: environment, flags: scanner.flags, needs: needs)
        loader.flagProblems = scanner.problems
        var contents = files.mapValues { Array($0.utf8) }
        if let yaml { contents["bridge.yaml"] = Array(yaml.utf8) }
        loader.draft.readFile = { [contents] path in
            contents[path].map { .success($0) } ?? .failure(FileFailure(reason: "No such file or directory"))
        }
        do throws(SettingsFailure) {
            return .success(try loader.load())
        } catch {
            return .failure(error)
        }
    }
}

/// One wrong setting, and everything that its message must hold.
struct WrongCase: Sendable, CustomStringConvertible {
    var given: Given
    var says: [String]
    /// How many problems there are.
    var count: Int

    var description: String {
        [
            given.yaml, given.environment.map { "\($0)=\($1)" }.joined(separator: " "),
            given.arguments.joined(separator: " "),
        ]
        .compactMap(\.self).joined(separator: " | ")
    }

    static func yaml(_ yaml: String, count: Int = 1, needs: SettingsNeeds = [], _ says: String...) -> WrongCase {
        WrongCase(given: Given(yaml: yaml, needs: needs), says: says, count: count)
    }

    static func environment(_ name: String, _ value: String, count: Int = 1, _ says: String...) -> WrongCase {
        WrongCase(
            given: Given(environment: [name: value]), says: ["environment variable \(name): "] + says, count: count)
    }

    static func flags(_ arguments: String..., says: [String], count: Int = 1) -> WrongCase {
        WrongCase(given: Given(arguments: arguments), says: says, count: count)
    }
}
