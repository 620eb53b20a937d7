import SMSPortalEvents
import Testing

@testable import SMSPortalConsumer

struct FailureTests {
    @Test func backsOffUpToTheMaximum() {
        let backoff = RetryBackoff(initial: .seconds(1), multiplier: 2, maximum: .seconds(60), jitter: 0.2)
        for (attempt, seconds) in [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (Int.max, 60)] {
            #expect(backoff.delay(after: attempt, chance: 0) == .seconds(seconds))
        }
        #expect(backoff.delay(after: 1, chance: 1) == .milliseconds(800))
    }

    @Test func aHugeMultiplierWaitsTheMaximum() {
        for multiplier in [1e30, 1e300, .infinity] {
            let backoff = RetryBackoff(initial: .seconds(1), multiplier: multiplier, maximum: .seconds(60), jitter: 0)
            #expect(backoff.delay(after: 3, chance: 0) == .seconds(60))
        }
        let none = RetryBackoff(initial: .zero, multiplier: .infinity, maximum: .zero)
        #expect(none.delay(after: 5, chance: 1) == .zero)
    }

    @Test func aDeadLetterSaysWhereItCameFromAndWhy() {
        let record = ConsumedRecord(
            topic: "smsportal.reply", partition: 258, offset: 0x01_0203, timestamp: 0x0A0B, key: [1], value: nil,
            headers: [("own", [7]), ("null", nil)])
        let failure = Failure(type: .reply, kind: "Broken", message: "why", attempts: 5)
        let headers = DeadLetterHeaders.headers(of: record, failure, group: "g")
        let expected: [(String, [UInt8]?)] = [
            ("own", [7]), ("null", nil),
            ("kafka_dlt-original-topic", Array("smsportal.reply".utf8)),
            ("kafka_dlt-original-partition", [0, 0, 1, 2]),
            ("kafka_dlt-original-offset", [0, 0, 0, 0, 0, 1, 2, 3]),
            ("kafka_dlt-original-timestamp", [0, 0, 0, 0, 0, 0, 0x0A, 0x0B]),
            ("kafka_dlt-original-timestamp-type", Array("CreateTime".utf8)),
            ("kafka_dlt-original-consumer-group", Array("g".utf8)),
            ("kafka_dlt-exception-fqcn", Array("Broken".utf8)),
            ("kafka_dlt-exception-message", Array("why".utf8)),
            ("kafka_dlt-attempts", [0, 0, 0, 5]),
        ]
        #expect(headers.map(\.name) == expected.map(\.0))
        #expect(headers.map(\.value) == expected.map(\.1))

        // Redriven, it keeps where it came from first, and the attempts add up.
        let again = ConsumedRecord(
            topic: "g-redrive", partition: 0, offset: 9, key: [1], value: nil, headers: headers)
        let second = DeadLetterHeaders.headers(
            of: again, Failure(type: .reply, kind: "Other", message: "", attempts: 2), group: "g")
        #expect(second.count == headers.count)
        #expect(second.first { $0.name == "kafka_dlt-original-topic" }?.value == Array("smsportal.reply".utf8))
        #expect(second.first { $0.name == "kafka_dlt-exception-fqcn" }?.value == Array("Other".utf8))
        #expect(second.first { $0.name == "kafka_dlt-attempts" }?.value == [0, 0, 0, 7])
    }

    @Test func aLongMessageIsCutBetweenCharacters() {
        let message = "x" + String(repeating: "é", count: 3_000)
        let headers = DeadLetterHeaders.headers(
            of: record(0, key: 0), Failure(type: .reply, kind: "", message: message, attempts: 1), group: "g")
        let bytes = headers.first { $0.name == "kafka_dlt-exception-message" }?.value ?? []
        #expect(bytes.count == 4_095)
        #expect(String(validating: bytes, as: UTF8.self) != nil, "it is no text any more")
    }

    @Test func aRecordKeepsNullApartFromEmpty() {
        let empty = ConsumedRecord(topic: "t", partition: 0, offset: 0, key: [], value: [], headers: [("", [])])
        #expect(empty.key == [] && empty.value == [] && empty.headers.map(\.value) == [[]])
        let null = ConsumedRecord(topic: "t", partition: 0, offset: 0, key: nil, value: nil, headers: [("a", nil)])
        #expect(null.key == nil && null.value == nil && null.headers.map(\.value) == [nil])
        #expect(null.header("a") == nil)
    }

    @Test func keysDecideWhichRecordsAreHandledOneAfterTheOther() {
        let hash = KeyHash()
        func of(_ key: String?, domain: Int32 = 0, partition: Int32 = 0, offset: Int64 = 0) -> UInt64 {
            guard var key else { return hash(nil, domain: domain, partition: partition, offset: offset) }
            return key.withUTF8 {
                hash(UnsafeRawBufferPointer($0), domain: domain, partition: partition, offset: offset)
            }
        }
        let keys = [
            "", "a", "b", "ab", "ba", "27821234567", "27821234568", "2782123456", "27821234567890123",
            "72821234567890123",
        ]
        #expect(Set(keys.map { of($0) }).count == keys.count)
        for key in keys { #expect(of(key, partition: 1, offset: 5) == of(key, partition: 2, offset: 9)) }
        #expect(
            of("27821234567", domain: 1) != of("27821234567", domain: 2), "types have nothing to do with each other")
        let without = (0..<1_000).map { of(nil, partition: Int32($0 % 10), offset: Int64($0 / 10)) }
        #expect(Set(without).count == 1_000, "records without a key do not wait for each other")
    }

    @Test func aTimeWithoutEndIsAProblemAndNoTrap() {
        var configuration = EventConsumer.Configuration(bootstrapServers: "kafka:9092", group: "g")
        configuration.revokeTimeout = .seconds(Int64.max)
        configuration.shutdownTimeout = .seconds(86_401)
        #expect(configuration.problems().map { $0.prefix { $0 != ":" } } == ["revokeTimeout", "shutdownTimeout"])
    }

    @Test func everyProblemNamesItsProperty() {
        func problems(_ change: (inout EventConsumer.Configuration) -> Void) -> [String] {
            var configuration = EventConsumer.Configuration(bootstrapServers: "localhost:9092", group: "g")
            change(&configuration)
            return configuration.problems()
        }
        #expect(problems { _ in } == [])
        let wrong: [(String, (inout EventConsumer.Configuration) -> Void)] = [
            ("bootstrapServers:", { $0.bootstrapServers = "" }),
            ("group:", { $0.group = "" }),
            ("group:", { $0.group = "a b" }),
            ("group:", { $0.group = String(repeating: "a", count: 242) }),
            ("topicPrefix:", { $0.topicPrefix = "ä" }),
            ("concurrency:", { $0.concurrency = 0 }),
            ("concurrency:", { $0.concurrency = 10_001 }),
            ("maxBufferedEvents:", { $0.maxBufferedEvents = 0 }),
            ("maxBufferedBytes:", { $0.maxBufferedBytes = (1 << 20) - 1 }),
            ("maxSpan:", { $0.maxSpan = 0 }),
            ("commitInterval:", { $0.commitInterval = .milliseconds(9) }),
            ("commitInterval:", { $0.commitInterval = .seconds(601) }),
            ("revokeTimeout:", { $0.revokeTimeout = .seconds(-1) }),
            ("shutdownTimeout:", { $0.shutdownTimeout = .seconds(-1) }),
            ("claimExpiry:", { $0.claimExpiry = .zero }),
            ("failure.maxAttempts:", { $0.failure.maxAttempts = 0 }),
            ("failure.backoff.initial:", { $0.failure.backoff.initial = .seconds(-1) }),
            ("failure.backoff.maximum:", { $0.failure.backoff.maximum = .zero }),
            ("failure.backoff.multiplier:", { $0.failure.backoff.multiplier = .nan }),
            ("failure.backoff.jitter:", { $0.failure.backoff.jitter = 1.1 }),
            ("kafkaProperties.no.such:", { $0.kafkaProperties["no.such"] = "1" }),
        ]
        for (property, change) in wrong {
            let found = problems(change)
            #expect(found.contains { $0.hasPrefix(property) }, "\(property) \(found)")
        }
    }
}
