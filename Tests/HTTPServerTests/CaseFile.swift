import SMSBridgeHTTPServer
import SMSBridgeParserProbe

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A case of `Cases/requests.txt`, whose head says how it is written.
struct RequestCase: Sendable, CustomStringConvertible {
    var name = ""
    var bytes: [UInt8] = []
    /// Method, target, version and body of each request that is served.
    var requests: [[[UInt8]]] = []
    var refusal: (rule: String, status: Int)?
    var line = 0

    var description: String { name }

    struct Malformed: Error, CustomStringConvertible {
        let description: String
    }

    static func all() throws -> [RequestCase] {
        let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let text = String(decoding: try readFile("\(folder)/Cases/requests.txt"), as: UTF8.self)
        var cases: [RequestCase] = []
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard let kind = line.first, kind != "#" else { continue }
            let rest = String(line.dropFirst(2))
            if kind == "[" {
                cases.append(RequestCase(name: String(line.dropFirst().dropLast()), line: number + 1))
                continue
            }
            guard !cases.isEmpty else { throw Malformed(description: "line \(number + 1)") }
            let last = cases.count - 1
            switch kind {
            case ">": cases[last].bytes += try decode(rest)
            case "=":
                let parts = rest.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
                guard parts.count >= 3 else { throw Malformed(description: "line \(number + 1)") }
                cases[last].requests.append(try (parts + (parts.count == 3 ? [""] : [])).map(decode))
            case "!":
                let parts = rest.split(separator: " ")
                guard parts.count == 2, let status = Int(parts[1]) else {
                    throw Malformed(description: "line \(number + 1)")
                }
                cases[last].refusal = (String(parts[0]), status)
            case "~": break
            default: throw Malformed(description: "line \(number + 1)")
            }
        }
        return cases
    }

    /// Undoes the escapes and the repetitions of a line.
    static func decode(_ text: String) throws -> [UInt8] {
        let source = Array(text.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < source.count {
            if source[index...].starts(with: "{{".utf8) {
                guard let close = (index..<source.count).first(where: { source[$0...].starts(with: "}}".utf8) }),
                    let star = source[index..<close].lastIndex(of: UInt8(ascii: "*")),
                    let times = Int(String(decoding: source[(star + 1)..<close], as: UTF8.self))
                else { throw Malformed(description: text) }
                let unit = try decode(String(decoding: source[(index + 2)..<star], as: UTF8.self))
                for _ in 0..<times { result += unit }
                index = close + 2
            } else if source[index] == UInt8(ascii: "\\"), index + 1 < source.count {
                switch source[index + 1] {
                case UInt8(ascii: "r"): result.append(13)
                case UInt8(ascii: "n"): result.append(10)
                case UInt8(ascii: "t"): result.append(9)
                case UInt8(ascii: "\\"): result.append(UInt8(ascii: "\\"))
                case UInt8(ascii: "x"):
                    guard index + 3 < source.count,
                        let byte = UInt8(String(decoding: source[(index + 2)...(index + 3)], as: UTF8.self), radix: 16)
                    else { throw Malformed(description: text) }
                    result.append(byte)
                    index += 2
                default: throw Malformed(description: text)
                }
                index += 2
            } else {
                result.append(source[index])
                index += 1
            }
        }
        return result
    }
}

/// All bytes of a file.
func readFile(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "r") else { throw RequestCase.Malformed(description: "cannot open \(path)") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = fread(&block, 1, block.count, file)
        if count == 0 { return bytes }
        bytes += block[..<count]
    }
}
