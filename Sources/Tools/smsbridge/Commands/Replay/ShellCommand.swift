import SMSBridgeSettings

/// A command line as it may be shown, and typed again: for a shell, without secrets.
enum ShellCommand {
    /// Words as a shell reads them. The value of a secret, and of a secret property of Kafka's client, is `…`.
    static func text(_ arguments: [String]) -> String {
        let secret = Set(Declaration.all.filter(\.isSecret).map(\.flag))
        let properties = Set(Declaration.all.filter { $0.key.hasPrefix("kafka.properties") }.map(\.flag))
        var flag = ""
        let words = arguments.map { argument -> String in
            var word = argument
            if word.hasPrefix("--") {
                let equals = word.firstIndex(of: "=") ?? word.endIndex
                flag = String(word[..<equals])
                guard equals < word.endIndex else { return quoted(word) }
                let value = shown(String(word[word.index(after: equals)...]), of: flag, secret, properties)
                word = "\(flag)=\(value)"
                flag = ""
            } else {
                word = shown(word, of: flag, secret, properties)
                flag = ""
            }
            return quoted(word)
        }
        return words.joined(separator: " ")
    }

    private static func shown(
        _ value: String, of flag: String, _ secret: Set<String>, _ properties: Set<String>
    ) -> String {
        if secret.contains(flag) { return "…" }
        guard properties.contains(flag) else { return value }
        let name = value.prefix { $0 != "=" }
        return KafkaProperties.isSecret(name.lowercased()) ? "\(name)=…" : value
    }

    /// Nothing in single quotes means anything to a shell but a single quote.
    private static func quoted(_ word: String) -> String {
        let plain = "-_./:=,@+%"
        let isPlain = word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || plain.contains($0)) }
        guard !isPlain || word.isEmpty || word.hasPrefix("=") else { return word }
        let parts = word.split(separator: "'", omittingEmptySubsequences: false)
        return "'" + parts.joined(separator: "'\\''") + "'"
    }
}
