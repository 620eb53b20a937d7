import Testing

@testable import smsbridge

struct ArchiveRecordTests {
    private func record(
        key: [UInt8]? = nil, headers: [ArchiveRecord.Header] = [], value: [UInt8]? = Array("{}".utf8)
    ) -> ArchiveRecord {
        ArchiveRecord(
            topic: "smsportal.reply", partition: 3, offset: 17, timestamp: 1_795_000_000_123, key: key,
            headers: headers,
            value: value)
    }

    @Test(arguments: [
        Array("{\"text\":\"a \\\"b\\\" \\u0000 ü\",\"n\":[1,{\"x\":null}]}".utf8), Array("{}".utf8), Array("[1]".utf8),
        [],
        [0xFF, 0x00], Array(" {\"a\":1}".utf8), Array("{\"a\":1}\n".utf8), Array("\u{FEFF}{}".utf8), nil,
    ])
    func everyValueComesBackByteForByte(_ value: [UInt8]?) throws {
        for key in [nil, [], Array("27821234567".utf8), [0xC3, 0x28]] {
            for headers: [ArchiveRecord.Header] in [
                [], [.init(name: "a", value: Array("1".utf8)), .init(name: "b", value: nil)],
                [.init(name: "a", value: [0xFF]), .init(name: "b", value: nil), .init(name: "a", value: [])],
                [.init(name: "}, {", value: Array("},\"".utf8)), .init(name: "},", value: [0x80])],
            ] {
                let one = record(key: key, headers: headers, value: value)
                var line: [UInt8] = []
                one.append(to: &line)
                #expect(line.last == 10 && line.dropLast().firstIndex(of: 10) == nil)
                #expect(try ArchiveRecord(line: Array(line.dropLast())) == one)
            }
        }
    }

    @Test func aRowOfASpoolComesBackAsItWas() throws {
        for (state, reason) in [("waiting", nil), ("parked", "MSG_SIZE_TOO_LARGE \"quoted\"")] as [(String, String?)] {
            let one = ArchiveRecord(
                topic: "smsportal.reply", partition: nil, offset: nil, timestamp: 1_795_000_000_123, key: nil,
                headers: [],
                value: Array("{\"text\":\"ja\"}".utf8), state: state, reason: reason)
            var line: [UInt8] = []
            one.append(to: &line)
            #expect(try ArchiveRecord(line: Array(line.dropLast())) == one)
        }
    }

    @Test(arguments: [
        ("", "no JSON object"), ("[]", "no JSON object"), ("{\"topic\":1}", "topic"),
        ("{\"topic\":\"t\"}", "timestamp"), ("{\"topic\":\"t\",\"partition\":0,\"timestamp\":1}", "key"),
        (
            "{\"topic\":\"t\",\"partition\":0,\"timestamp\":1,\"key\":null,\"headers\":{},\"value\":null}",
            "partition and offset"
        ),
        ("{\"topic\":\"t\",\"partition\":-1,\"offset\":0}", "partition"),
        ("{\"topic\":\"t\",\"partition\":0,\"offset\":\"0\"}", "offset"),
        ("{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp\":1.5}", "timestamp"),
        ("{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp\":1,\"key\":1}", "key"),
        ("{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp\":1,\"keyHex\":\"0\"}", "keyHex"),
        ("{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp\":1,\"keyHex\":\"+f\"}", "keyHex"),
        ("{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp\":1,\"key\":null,\"headers\":[]}", "headers"),
        ("{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp\":1,\"key\":null,\"headers\":{}}", "value"),
    ])
    func whatIsNoRecordSaysWhatIsWrong(_ line: String, _ word: String) {
        #expect { _ = try ArchiveRecord(line: Array(line.utf8)) } throws: { error in
            (error as? ArchiveRecord.Malformed)?.message.contains(word) ?? false
        }
    }
}
