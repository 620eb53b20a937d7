import FoundationEssentials

/// A strict reader of logfmt: `name=word` or `name="JSON string"`, one blank apart, no name twice.
enum Logfmt {
    struct Malformed: Error { let rest: String }

    static func parse(_ line: String) throws -> [(name: String, value: String)] {
        var pairs: [(name: String, value: String)] = []
        var rest = Array(line.utf8)[...]
        guard rest.popLast() == UInt8(ascii: "\n") else { throw Malformed(rest: line) }
        while true {
            let name = rest.prefix { isName($0) }
            rest = rest.dropFirst(name.count)
            guard !name.isEmpty, rest.popFirst() == UInt8(ascii: "=") else { throw malformed(rest) }
            let value: String
            if rest.first == UInt8(ascii: "\"") {
                var end = rest.startIndex + 1
                while end < rest.endIndex, rest[end] != UInt8(ascii: "\"") {
                    end += rest[end] == UInt8(ascii: "\\") ? 2 : 1
                }
                guard end < rest.endIndex else { throw malformed(rest) }
                value = try JSONDecoder().decode(String.self, from: Data(rest[...end]))
                rest = rest[(end + 1)...]
            } else {
                let word = rest.prefix { (0x21...0x7E).contains($0) && !Array("\"=\\".utf8).contains($0) }
                guard !word.isEmpty else { throw malformed(rest) }
                value = String(decoding: word, as: UTF8.self)
                rest = rest.dropFirst(word.count)
            }
            let found = String(decoding: name, as: UTF8.self)
            guard !pairs.contains(where: { $0.name == found }) else { throw malformed(name) }
            pairs.append((name: found, value: value))
            if rest.isEmpty { return pairs }
            guard rest.popFirst() == UInt8(ascii: " ") else { throw malformed(rest) }
        }
    }

    private static func isName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    private static func malformed(_ rest: ArraySlice<UInt8>) -> Malformed {
        Malformed(rest: String(decoding: rest.prefix(80), as: UTF8.self))
    }
}
