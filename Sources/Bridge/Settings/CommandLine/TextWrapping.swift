/// Breaks lines of help texts at blanks.
struct TextWrapping {
    /// The most characters of a line.
    let columns: Int

    /// A paragraph whose lines after the first begin with `indent` blanks.
    func paragraph(_ text: String, first: Int, indent: Int) -> String {
        lines(text, first: first, next: indent, end: "")
    }

    /// Lines of their own layout: only those that are too long are broken, and go on below their own indentation.
    func block(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            guard line.count > columns else { return String(line) }
            let indent = line.prefix { $0 == " " }.count
            return String(repeating: " ", count: indent)
                + lines(String(line.dropFirst(indent)), first: indent, next: indent, end: "")
        }.joined(separator: "\n")
    }

    /// A command line of a shell that stays one.
    func command(_ text: String, indent: Int) -> String {
        lines(text, first: indent, next: indent + 4, end: " \\")
    }

    private func lines(_ text: String, first: Int, next: Int, end: String) -> String {
        var result = ""
        var used = first
        for word in text.split(separator: " ", omittingEmptySubsequences: false) {
            if result.isEmpty {
                result = String(word)
                used += word.count
            } else if used + 1 + word.count + end.count <= columns {
                result += " " + word
                used += 1 + word.count
            } else {
                result += end + "\n" + String(repeating: " ", count: next) + word
                used = next + word.count
            }
        }
        return result
    }
}
