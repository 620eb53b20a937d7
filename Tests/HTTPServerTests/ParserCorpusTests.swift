import SMSBridgeHTTPServer
import SMSBridgeParserProbe
import SMSBridgeTestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The parser's side of `scripts/differential`, which compares it with other parsers.
///
/// `SMSBRIDGE_PARSER_CORPUS` names a file with a stream of bytes a line, in hexadecimal. What the parser makes of each
/// is written beside it, to the same name with `.parsed`, as a line of JSON.
@Suite("Parser corpus", .enabled(if: getenv("SMSBRIDGE_PARSER_CORPUS") != nil, "needs SMSBRIDGE_PARSER_CORPUS"))
struct ParserCorpusTests {
    @Test("the corpus is parsed, each stream alike however it comes")
    func corpus() throws {
        let path = String(cString: getenv("SMSBRIDGE_PARSER_CORPUS"))
        var output: [UInt8] = []
        var random = SeededRandom(seed: 1)
        // The last line ends, too: what follows it is none.
        let lines = try readFile(path).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for line in lines.dropLast() {
            let stream = try #require(bytes(line))
            let split = Int.random(in: 0...stream.count, using: &random)
            let parsed = try ParserProbe.check(stream, splits: [split])
            let requests = parsed.requests.map { request in
                "{\"method\":\"\(hex(request.method))\",\"target\":\"\(hex(request.target))\","
                    + "\"version\":\"\(request.version)\",\"body\":\"\(hex(request.body))\",\"end\":\(request.end)}"
            }
            let ending =
                switch parsed.ending {
                case .needsMore: "more"
                case .refused(let rule): rule.rawValue
                }
            output += Array("{\"requests\":[\(requests.joined(separator: ","))],\"ending\":\"\(ending)\"}\n".utf8)
        }
        let file = try #require(fopen(path + ".parsed", "w"))
        #expect(fwrite(output, 1, output.count, file) == output.count)
        #expect(fclose(file) == 0)
    }

    private func bytes(_ line: some Collection<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(line.count / 2)
        var high: UInt8?
        for character in line {
            guard let digit = Character(UnicodeScalar(character)).hexDigitValue.map(UInt8.init) else { return nil }
            if let first = high {
                result.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return high == nil ? result : nil
    }

    private func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
