import FoundationEssentials
import Testing

@testable import SMSPortalEvents

/// Members without white space and escapes are read on a short path; what it accepts, and where it stops, is what the
/// grammar says.
@Suite("Plain JSON members")
struct PlainMemberTests {
    private static let documents = [
        #"{"Status":"DELIVRD","EventId":1179504595,"Mcc":655,"Msisdn":"27820000000","Received":1530013907}"#,
        #"{"ab":"","cd":"12345678","ef":"1234567","gh":"123456789","ij":12345678,"kl":1,"mn":"x"}"#,
        #"{"ab":1}"#,
        #"{"ab":"c"}"#,
        #"{"ab":1,"cd":22}"#,
        #"{"ab":"c", "de": 1 ,"fg":10,"hi":[1,{"x":2}],"jk":"lm","no":0,"pq":-1.5e3,"rs":"t"}"#,
        #"{"ab":"a\"b\\c\n","cd":"é€😀","ef":true,"gh":null,"ij":"k","lm":9,"no":"pq"}"#,
    ]

    private static func check(_ bytes: [UInt8], _ comment: @autoclosure () -> String) {
        let members = JSONMember.members(of: bytes).members
        // Foundation's reader accepts a comma at the end; the grammar does not.
        let text = String(decoding: bytes, as: UTF8.self)
        if text.contains(",}") || text.contains(",]") {
            if members != nil { Issue.record("accepted: \(text)") }
            return
        }
        let expected = try? JSONDecoder().decode([String: JSONTree].self, from: Data(bytes))
        guard let members, let expected else {
            if (members == nil) != (expected == nil) {
                Issue.record("only one of both readers accepts \(text): \(comment())")
            }
            return
        }
        let agrees = members.allSatisfy { member in
            switch (member.kind, expected[member.name]) {
            case (.text, .string(let text)): member.text == text
            case (.literal, .bool(let value)): String(decoding: member.value, as: UTF8.self) == "\(value)"
            case (.literal, .integer(let value)):
                Double(String(decoding: member.value, as: UTF8.self)) == Double(value)
            case (.literal, .number(let value)): Double(String(decoding: member.value, as: UTF8.self)) == value
            case (.null, .null), (.nested, .array), (.nested, .object): true
            default: false
            }
        }
        if !agrees || Set(members.map(\.name)) != Set(expected.keys) {
            Issue.record("\(text) became \(members): \(comment())")
        }
    }

    @Test("documents with one byte replaced, inserted or removed are read as another reader does", arguments: documents)
    func mutations(document: String) {
        let bytes = Array(document.utf8)
        // No exponent: Foundation's reader rejects numbers beyond what it can represent.
        let replacements = Array("\"\\,:{}[ 019-.x\n\t\u{1}".utf8) + [0x7F, 0xC3]
        for index in bytes.indices {
            var shorter = bytes
            shorter.remove(at: index)
            Self.check(shorter, "without byte \(index)")
            for replacement in replacements {
                var other = bytes
                other[index] = replacement
                Self.check(other, "\(replacement) at \(index)")
                other = bytes
                other.insert(replacement, at: index)
                Self.check(other, "\(replacement) inserted at \(index)")
            }
        }
    }

    @Test("the beginning of a document is refused where it ends", arguments: documents.prefix(5))
    func beginnings(document: String) {
        let bytes = Array(document.utf8)
        for count in 0..<bytes.count {
            let (members, wrongAt) = JSONMember.members(of: Array(bytes[..<count]))
            #expect(members == nil)
            #expect(wrongAt == count)
        }
    }
}
