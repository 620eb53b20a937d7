/// Breaks lines of help texts at blanks.
struct TextWrapping {
    /// The most characters of a line.
    let columns: Int

    /// A paragraph whose lines after the first begin with `indent` blanks.
    func paragraph(_ text: String, first: Int, indent: Int) -> String {
        lines(text, first: first, next: indent)
    }

    /// Paragraphs of lines that begin without blanks are re-filled when one of them is too long; an indented line is
    /// broken by itself, below its own indentation.
    func block(_ text: String) -> String {
        var result: [String] = []
        var paragraph: [Substring] = []
        func finish() {
            let fits = paragraph.allSatisfy { $0.count <= columns }
            let filled = fits ? paragraph.joined(separator: "\n") : lines(paragraph.joined(separator: " "))
            if !paragraph.isEmpty { result.append(filled) }
            paragraph = []
        }
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let indent = line.prefix { $0 == " " }.count
            if indent == 0, !line.isEmpty {
                paragraph.append(line)
            } else {
                finish()
                let blanks = String(repeating: " ", count: indent)
                result.append(blanks + lines(String(line.dropFirst(indent)), first: indent, next: indent))
            }
        }
        finish()
        return result.joined(separator: "\n")
    }

    /// A command line of a shell that stays one.
    func command(_ text: String, indent: Int) -> String {
        lines(text, first: indent, next: indent + 4, end: " \\")
    }

    private func lines(_ text: String, first: Int = 0, next: Int = 0, end: String = "") -> String {
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
