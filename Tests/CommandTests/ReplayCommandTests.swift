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
        (["--from", "offset:3", "--by", "occurred"], "an offset does not go with"),
        (["--from", "earliest", "--to", "offset:3", "--by", "occurred"], "an offset does not go with"),
    ])
    func aWindowThatWouldMoveIsRefused(arguments: [String], words: String) throws {
        let run = try replay(arguments + ["--to-topic", "mine"])
        #expect(run.exitCode == 2)
        #expect(run.errors.contains(words), "\(run.errors)")
    }

    @Test func anAgeIsToTheMillisecond() throws {
        let now = Int64(Date().timeIntervalSince1970 * 1_000)
        let time = try ValueType<ReplayTime>.replayTime.parse("500ms")
        guard case .time(let then) = time.point else {
            Issue.record("\(time)")
            return
        }
        #expect(time.isAge && (now - 100...now + 60_000).contains(then + 500))
        #expect(try !ValueType<ReplayTime>.replayTime.parse("2026-11-17T00:00:00Z").isAge)
    }
}
