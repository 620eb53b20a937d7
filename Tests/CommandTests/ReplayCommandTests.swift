import Foundation
import SMSBridgeReplaying
import SMSBridgeSettings
import Testing

@testable import smsbridge

/// `smsbridge replay` where no Kafka is needed.
@Suite struct ReplayCommandTests {
    private func replay(_ arguments: [String]) throws -> Run {
        try smsbridge(["replay", "--kafka-bootstrap-servers", "127.0.0.1:1"] + arguments)
    }

    @Test(arguments: [
        (["--from", "2h", "--by", "occurred", "--name", "n"], "another window"),
        (["--from", "2026-11-17T00:00:00Z", "--to", "1h", "--by", "occurred", "--name", "n"], "--to 1h"),
        (["--from", "offset:3", "--by", "occurred"], "an offset cannot be combined"),
        (["--from", "earliest", "--to", "offset:3", "--by", "occurred"], "an offset cannot be combined"),
    ])
    func aWindowThatWouldMoveIsRefused(arguments: [String], words: String) throws {
        let run = try replay(arguments + ["--to-topic", "mine"])
        #expect(run.exitCode == 2)
        #expect(run.errors.contains(words), "\(run.errors)")
    }

    @Test func aNumberIsReadAsTheBridgeReadsItAndNeverRepeated() throws {
        for number in ["0820000001", "peter", "77"] {
            let run = try replay(["--from", "1h", "--dry-run", "--key", number])
            #expect(run.exitCode == 2)
            #expect(run.errors.contains("--key") && !run.errors.contains(number), "\(run.errors)")
        }
    }

    private func parse(_ text: String) throws -> ReplayTime.Value {
        try ValueType<ReplayTime>.replayTime.parse(text).value
    }

    @Test func timesAreReadAsRFC3339HasThem() throws {
        // 2026-11-17T00:00:00Z.
        let moment: Int64 = 1_794_873_600_000
        for text in [
            "2026-11-17T00:00:00Z", "2026-11-17t00:00:00z", "2026-11-17T02:00:00+02:00", "2026-11-16T19:30:00-04:30",
            "2026-11-17 00:00:00Z",
        ] {
            #expect(try parse(text) == .moment(moment), "\(text)")
        }
        #expect(try parse("2026-11-17T00:00:00.1234567Z") == .moment(moment + 123))
        #expect(try parse("2026-11-17T00:00:00.5+00:00") == .moment(moment + 500))
        #expect(try parse("500ms") == .age(500))
        #expect(try parse("offset:7") == .offset(7))
        for text in [
            "2026-02-30", "2026-11-17T24:00:00Z", "2026-11-17T00:00:60Z", "2026-11-17T00:00:00+24:00",
            "2026-11-17T00:00:00+2:00",
            "2026-11-17T00", "17/11/2026", "yesterday", "offset:-1", "", "-5m", "2026-11-17T00:00:00.Z",
        ] {
            #expect(throws: WrongValue.self, "\(text)") { _ = try parse(text) }
        }
    }

    @Test func aLocalTimeIsOfTheZone() throws {
        let zone = try CommandTimeZone(parsing: "+02:00")
        #expect(
            try ValueType<ReplayTime>.replayTime.parse("2026-11-17").point(in: zone, now: 0) == .time(1_794_866_400_000)
        )
        #expect(zone.text(of: 1_794_866_400_000) == "2026-11-17T00:00:00+02:00")
        let west = try CommandTimeZone(parsing: "-03:30")
        #expect(west.text(of: 1_794_866_400_250) == "2026-11-16T18:30:00.250-03:30")
        for text in ["Nowhere/City", "../etc/passwd", "/etc/localtime", "+2", "+24:00", ""] {
            #expect(throws: WrongValue.self, "\(text)") { _ = try CommandTimeZone(parsing: text) }
        }
    }

    /// Days on which clocks are set; the zone is the process's, so the program says what it has understood.
    @Test(arguments: [
        ("2026-03-29T02:30:00", "Europe/Berlin", "does not exist"),
        ("2026-10-25T02:30:00", "Europe/Berlin", "occurs twice"),
        ("2026-03-08T02:30:00", "America/New_York", "does not exist"),
        // A day that begins an hour late.
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z"),
        ("2026-03-29T01:59:59", "Europe/Berlin", "2026-03-29T00:59:59Z"),
        ("2026-03-29T03:00", "Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("2026-11-24", "Africa/Johannesburg", "2026-11-23T22:00:00Z"), ("2026-11-24", "UTC", "2026-11-24T00:00:00Z"),
        ("2026-11-24", "+05:45", "2026-11-23T18:15:00Z"),
    ])
    func clocksThatAreSetAreNoTrap(time: String, zone: String, words: String) throws {
        // It ends there: there is no Kafka.
        let run = try smsbridge(
            [
                "replay", "--kafka-bootstrap-servers", "127.0.0.1:1", "--time-zone", zone, "--from", time, "--dry-run",
            ], timeout: 3)
        #expect(run.errors.contains(words), "\(run.errors)")
        #expect(words.hasSuffix("Z") || run.exitCode == 2)
    }
}
