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
        #expect(ReplayWindow(from: .now).problem == "from is now: no event follows it")
        #expect(ReplayWindow(to: .earliest).problem == "to is earliest: no event precedes it")
        #expect(ReplayWindow(maxLateness: 5).problem == "a maximum lateness requires a to that is a time")
        #expect(ReplayWindow(from: .time(1), to: .time(9), maxLateness: 5).problem == nil)
    }

    @Test(arguments: [
        ReplayWindow(), ReplayWindow(from: .time(1_795_000_000_000), to: .now),
        ReplayWindow(from: .offset(7), to: .time(9)),
    ])
    func aCheckpointKeepsTheWindow(_ window: ReplayWindow) throws {
        let mark = ReplayCheckpoint.Mark(end: 42, window: window, selection: "ab", partitions: 6, matched: 7)
        #expect(ReplayCheckpoint.Mark(mark.text) == mark)
        #expect(ReplayCheckpoint.Mark(mark.text + "\0") == mark)
        #expect(ReplayCheckpoint.Mark("3" + mark.text.dropFirst()) == nil)
        #expect(ReplayCheckpoint.Mark("") == nil)
        for number in ["-1", "9223372036854775807", "x"] {
            #expect(ReplayCheckpoint.Mark("2 \(number) earliest now ab 6 7") == nil, "\(number)")
            #expect(ReplayCheckpoint.Mark("2 42 earliest now ab \(number) 7") == nil, "\(number)")
        }
    }
}

struct RangeProgressTests {
    private let window = ReplayWindow(from: .time(1_000), to: .time(2_000), maxLateness: 500)

    private func progress(_ offsets: Range<Int64>) -> RangeProgress {
        RangeProgress(ReplayPlan.Partition(topic: "t", partition: 0, offsets: offsets, isTruncated: false))
    }

    /// A macro does not change what it captures.
    private func expect(_ isSelected: Bool, _ expected: Bool, _ place: SourceLocation = #_sourceLocation) {
        #expect(isSelected == expected, sourceLocation: place)
    }

    @Test func oneRecordOfAClockThatIsAheadDoesNotEndAPartition() {
        var one = progress(0..<5_000)
        expect(one.receive(offset: 0, timestamp: 1_000, window: window), true)
        expect(one.receive(offset: 1, timestamp: 1_000_000, window: window), false)
        expect(one.receive(offset: 2, timestamp: 1_500, window: window), true)
        #expect(one.afterLater == 1 && one.unread == 0 && !one.isRead && one.next == 3)
    }

    @Test func aRunOfLaterRecordsEndsItAndWhatIsLeftIsCounted() {
        var one = progress(0..<5_000)
        for offset in 0..<RangeProgress.laterRun - 1 {
            expect(one.receive(offset: offset, timestamp: 2_500, window: window), false)
        }
        // Not later than 2,500: the run begins again.
        expect(one.receive(offset: RangeProgress.laterRun - 1, timestamp: 2_499, window: window), false)
        #expect(!one.isRead)
        for offset in 0..<RangeProgress.laterRun {
            _ = one.receive(offset: RangeProgress.laterRun + offset, timestamp: 2_500, window: window)
        }
        #expect(one.isRead && one.unread == 5_000 - 2 * RangeProgress.laterRun)
    }

    @Test func theEndBeforeThePlannedOneIsAnOpenTransactionUntilRecordsArrive() {
        var one = progress(10..<20)
        one.reachEnd(at: 15, now: 7)
        one.reachEnd(at: 15, now: 9)
        #expect(one.blockedSince == 7 && one.remaining == 15..<20)
        _ = one.receive(offset: 15, timestamp: 1_000, window: window)
        #expect(one.blockedSince == nil)
        one.reachEnd(at: 25, now: 11)
        #expect(one.isRead && one.blockedSince == nil && one.next == 20)
    }

    @Test func deletedOffsetsAreCountedAndPassed() {
        var one = progress(10..<20)
        _ = one.receive(offset: 11, timestamp: 1_000, window: window)
        one.skipDeleted(before: 15)
        #expect(one.missed == 3 && one.next == 15)
        // A repeat has been delivered before.
        expect(one.receive(offset: 14, timestamp: 1_000, window: window), false)
        expect(one.receive(offset: 15, timestamp: 1_000, window: window), true)
        one.skipDeleted(before: 100)
        #expect(one.missed == 7 && one.isRead)
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
        while !reader.hasEnded, found.count < limit {
            guard let message = try reader.next(timeout: 5_000) else { continue }
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
        #expect(reader.isComplete && reader.passed == reader.plan.count)
        #expect(reader.plan.missingTopics == ["no-such-topic"])

        var hasty = window
        hasty.maxLateness = 10_000
        // So few records never end it, whatever their times say.
        let other = try RangeReader(client, topics: [topic], window: hasty)
        defer { other.close() }
        #expect(try values(other).sorted() == Array(100..<200))
        #expect(other.progress.contains { $0.afterLater > 0 } && other.progress.allSatisfy { $0.unread == 0 })

        let nothing = try RangeReader(
            client, topics: [topic], window: ReplayWindow(from: .time(start + 400_000), to: .time(start + 500_000)))
        defer { nothing.close() }
        #expect(nothing.isComplete && nothing.plan.count == 0)
    }

    @Test func aPositionThatHasExpiredIsReported() async throws {
        try await fill()
        let checkpoint = ReplayCheckpoint(group: topic + "-expired", selection: topic)
        let first = try RangeReader(client, topics: [topic], window: ReplayWindow(), checkpoint: checkpoint)
        // As when one of the three has expired: only two are committed.
        try first.consumer.commit(
            [0, 1].map { checkpoint.place(of: first.plan.partitions[$0], in: first.plan, at: 1) }, timeout: 10_000)
        first.close()
        #expect {
            _ = try RangeReader(client, topics: [topic], window: ReplayWindow(), checkpoint: checkpoint)
        } throws: { error in
            let error = error as? ReplayError
            return error?.code == .positionExpired && error?.message.contains("\(topic)[2]") == true
        }
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
        #expect(third.isComplete && third.isResumed)
        third.close()
        #expect {
            _ = try RangeReader(
                client, topics: [topic], window: ReplayWindow(),
                checkpoint: ReplayCheckpoint(group: topic + "-replay", selection: "other"))
        } throws: { ($0 as? ReplayError)?.code == .nameTaken }
    }
}
