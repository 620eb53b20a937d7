import SMSBridgeKafka
import Testing

@testable import SMSBridgeReplaying

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

struct ReplayWindowTests {
    @Test func fromIsInTheWindowAndToIsNot() {
        let window = ReplayWindow(from: .time(1_000), to: .time(2_000))
        #expect([999, 1_000, 1_999, 2_000].map(window.contains) == [false, true, true, false])
        #expect(!window.contains(nil))
        #expect(ReplayWindow().contains(nil))
        #expect(ReplayWindow(from: .offset(3)).contains(0))
    }

    @Test func aWindowThatMakesNoSenseSaysWhy() {
        #expect(ReplayWindow(from: .time(2), to: .time(2)).problem == "from is not before to")
        #expect(ReplayWindow(from: .offset(9), to: .offset(3)).problem == "from is not before to")
        #expect(ReplayWindow(from: .now).problem == "from is now: nothing lies behind it")
        #expect(ReplayWindow(to: .earliest).problem == "to is earliest: nothing lies before it")
        #expect(ReplayWindow(late: 5).problem == "late goes with a to that is a time")
        #expect(ReplayWindow(from: .time(1), to: .time(9), late: 5).problem == nil)
    }

    @Test(arguments: [
        ReplayWindow(), ReplayWindow(from: .time(1_795_000_000_000), to: .now),
        ReplayWindow(from: .offset(7), to: .time(9)),
    ])
    func aCheckpointKeepsTheWindow(_ window: ReplayWindow) throws {
        let mark = ReplayCheckpoint.Mark(end: 42, window: window, selection: "ab")
        #expect(ReplayCheckpoint.Mark(mark.text) == mark)
        #expect(ReplayCheckpoint.Mark("2" + mark.text.dropFirst()) == nil)
        #expect(ReplayCheckpoint.Mark("") == nil)
        for end in ["-1", "9223372036854775807", "x"] {
            #expect(ReplayCheckpoint.Mark("1 \(end) earliest now ab") == nil, "\(end)")
        }
    }
}

private let bootstrapServers = getenv("KAFKA_BOOTSTRAP_SERVERS").map { String(cString: $0) }

/// Kafka's own time index and group offsets: the mock cluster has neither as a broker does.
@Suite(.enabled(if: bootstrapServers != nil))
struct RangeReaderTests {
    private let client = ClientConfiguration(bootstrapServers: bootstrapServers ?? "")
    private let topic = "replaying-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    private let start = Int64(time(nil)) * 1_000 - 3_600_000

    private func producer() throws -> ProducerThread {
        var configuration = ProducerConfiguration(client: client)
        configuration.messageTimeoutMilliseconds = 30_000
        return try ProducerThread(configuration)
    }

    /// Five minutes: record n has the time `start + n`, in seconds, but every tenth comes last.
    private func fill() async throws {
        let admin = try Admin(client)
        let made = try admin.create([NewTopic(name: topic, partitions: 3, replication: 1)], timeout: 20_000)
        admin.close()
        #expect(made.values.allSatisfy { $0 == nil })
        let producer = try self.producer()
        let order = (0..<300).filter { $0 % 10 != 0 } + (0..<300).filter { $0 % 10 == 0 }
        for number in order {
            try producer.send(
                topic: topic, key: Array("k\(number % 7)".utf8), value: Array("\(number)".utf8),
                timestamp: start + Int64(number) * 1_000, headers: []
            ) { #expect($0.error == nil) }
        }
        producer.close()
    }

    private func values(_ reader: RangeReader, limit: Int = .max) throws -> [Int] {
        var found: [Int] = []
        while !reader.isDone, found.count < limit {
            guard let message = try reader.next(timeout: 5_000) else { break }
            guard reader.plan.window.contains(message.timestamp) else { continue }
            found.append(Int(String(decoding: message.value ?? [], as: UTF8.self)) ?? -1)
        }
        return found
    }

    @Test func aWindowOfTimeIsExactEvenWhereRecordsCameLate() async throws {
        try await fill()
        let window = ReplayWindow(from: .time(start + 100_000), to: .time(start + 200_000))
        let reader = try RangeReader(client, topics: [topic, "no-such-topic"], window: window)
        defer { reader.close() }
        #expect(try values(reader).sorted() == Array(100..<200))
        #expect(reader.isDone && reader.passed == reader.plan.count)
        #expect(reader.plan.missingTopics == ["no-such-topic"])

        var hasty = window
        hasty.late = 10_000
        let other = try RangeReader(client, topics: [topic], window: hasty)
        defer { other.close() }
        #expect(other.plan.count < reader.plan.count)
        #expect(try values(other).allSatisfy((100..<200).contains))

        let nothing = try RangeReader(
            client, topics: [topic], window: ReplayWindow(from: .time(start + 400_000), to: .time(start + 500_000)))
        defer { nothing.close() }
        #expect(nothing.isDone && nothing.plan.count == 0)
    }

    @Test func aNameGoesOnWhereItLeftOffUpToTheEndThatWasFixedFirst() async throws {
        try await fill()
        let checkpoint = ReplayCheckpoint(group: topic + "-replay", selection: topic)
        let first = try RangeReader(client, topics: [topic], window: ReplayWindow(), checkpoint: checkpoint)
        #expect(!first.isResumed)
        var seen = try values(first, limit: 120)
        try first.commit(first.positions, to: checkpoint)
        first.close()
        let producer = try self.producer()
        try producer.send(topic: topic, key: nil, value: Array("9999".utf8), timestamp: start, headers: []) { _ in }
        producer.close()
        let second = try RangeReader(client, topics: [topic], window: ReplayWindow(), checkpoint: checkpoint)
        #expect(second.isResumed && second.plan.count == 180)
        seen += try values(second)
        try second.commit(second.positions, to: checkpoint)
        second.close()
        #expect(seen.sorted() == Array(0..<300))
        let third = try RangeReader(client, topics: [topic], window: ReplayWindow(), checkpoint: checkpoint)
        #expect(third.isDone && third.isResumed)
        third.close()
        #expect {
            _ = try RangeReader(
                client, topics: [topic], window: ReplayWindow(),
                checkpoint: ReplayCheckpoint(group: topic + "-replay", selection: "other"))
        } throws: { ($0 as? ReplayError)?.code == .nameTaken }
    }
}
