import Foundation
import Testing

/// `serve` without a Kafka: how it is ready, and how it ends.
@Suite(.serialized) struct ServeTests {
    private static let noKafka = ["--kafka-bootstrap-servers", "127.0.0.1:1"]
    /// A folder that cannot be made.
    private static let noSpool = ["--spool-path", "/dev/null/spool"]
    /// A caller waits for long.
    private static let patient = ["--publish-hedge", "8s", "--publish-deadline", "9s"]

    private func spool(_ folder: TemporaryFolder) -> [String] {
        ["--spool-path", folder.path, "--spool-any-file-system"]
    }

    // MARK: Readiness

    @Test func withoutKafkaASpoolWithRoomIsReadyAndAlarmed() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge(Self.noKafka + spool(folder))
        #expect(try bridge.wait { try bridge.admin("/readyz").contains("Kafka does not answer") })
        let answer = try bridge.admin("/readyz")
        #expect(answer.hasPrefix("HTTP/1.1 200"))
        #expect(answer.contains("\"unmet\":{}"))
        let client = try bridge.connect()
        client.send(ServedBridge.callback)
        #expect(client.answer().hasPrefix("HTTP/1.1 200"))
    }

    @Test func withoutKafkaAndWithoutASpoolItIsNotReady() throws {
        let bridge = try ServedBridge(Self.noKafka + Self.noSpool)
        #expect(try bridge.wait { try bridge.admin("/readyz").hasPrefix("HTTP/1.1 503") })
        let answer = try bridge.admin("/readyz")
        #expect(answer.contains("\"unmet\":{\"kafka\":\"Kafka does not answer\"}"), "\(answer)")
        #expect(answer.contains("\"spool\":"))
    }

    // MARK: The end

    @Test func withoutKafkaItEndsByItsDeadline() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge(
            Self.noKafka + spool(folder) + ["--shutdown-delay", "0s", "--shutdown-deadline", "2s"])
        let client = try bridge.connect()
        client.send(ServedBridge.callback)
        #expect(client.answer().hasPrefix("HTTP/1.1 200"))
        bridge.terminate()
        #expect(bridge.exitCode(within: 20) == 0, "\(bridge.logged)")
        #expect(bridge.logged.contains("events stay in the spool"))
        #expect(bridge.logged.contains("stopped"))
    }

    @Test func whileItServesOnEveryAnswerIsTheLastOfItsConnection() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge(
            Self.noKafka + spool(folder) + ["--shutdown-delay", "10s", "--shutdown-deadline", "11s"])
        let client = try bridge.connect()
        client.send(ServedBridge.callback)
        #expect(!client.answer().contains("Connection: close"))
        bridge.terminate()
        #expect(bridge.wait { bridge.logged.contains("\"stopping\"") })
        client.send(ServedBridge.callback)
        let new = try bridge.connect()
        new.send(ServedBridge.callback)
        for client in [client, new] {
            let answer = client.rest()
            #expect(answer.hasPrefix("HTTP/1.1 200"))
            #expect(answer.contains("Connection: close"))
        }
        bridge.terminate()
        #expect(bridge.exitCode(within: 20) == 0, "\(bridge.logged)")
    }

    @Test(arguments: [true, false]) func whoeverWaitsAtTheEndIsAnswered(isAskedTwice: Bool) throws {
        let bridge = try ServedBridge(
            Self.noKafka + Self.noSpool + Self.patient
                + ["--shutdown-delay", isAskedTwice ? "20s" : "0s", "--shutdown-deadline", isAskedTwice ? "25s" : "1s"])
        let client = try bridge.connect()
        client.send(ServedBridge.callback)
        usleep(300_000)
        bridge.terminate()
        if isAskedTwice {
            #expect(bridge.wait { bridge.logged.contains("\"stopping\"") })
            bridge.terminate()
        }
        #expect(client.rest().hasPrefix("HTTP/1.1 503"), "\(bridge.logged)")
        #expect(bridge.exitCode(within: 20) == 0, "\(bridge.logged)")
    }
}
