import Foundation
import SMSBridgeKafka
import SMSBridgeTestSupport
import Testing

/// `serve` without a Kafka: how it is ready, how it ends, and what it does with few descriptors.
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
        #expect(answer.contains("\"SmsbridgeSpoolUnavailable\":"))
    }

    /// Both would serve from Kafka, but only one of them can keep the promise when Kafka is late.
    @Test func whoeverFindsTheSpoolHeldIsNotReadyUntilItIsFree() throws {
        let cluster = try MockCluster()
        defer { cluster.close() }
        let folder = try TemporaryFolder()
        let arguments = ["--kafka-bootstrap-servers", cluster.bootstrapServers] + spool(folder)
        let first = try ServedBridge(arguments + ["--shutdown-delay", "0s"])
        #expect(try first.wait { try first.admin("/readyz").hasPrefix("HTTP/1.1 200") })
        let second = try ServedBridge(arguments)
        #expect(try second.wait { !(try second.admin("/readyz").contains("Kafka does not answer")) })
        let answer = try second.admin("/readyz")
        #expect(answer.hasPrefix("HTTP/1.1 503") && answer.contains("another process holds"), "\(answer)")
        first.terminate()
        #expect(first.exitCode(within: 60) == 0, "\(first.logged)")
        #expect(try second.wait { try second.admin("/readyz").hasPrefix("HTTP/1.1 200") })
    }

    @Test(.enabled(if: access("/dev/shm", W_OK) == 0, "there is no file system in memory at /dev/shm"))
    func aSpoolThatNoWaitingMendsIsRefusedWithWhatToDo() throws {
        let path = "/dev/shm/\(uniqueName("smsbridge"))"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let bridge = try ServedBridge(
            Self.noKafka + ["--spool-path", path], notServingBut: ServedBridge.freePort())
        #expect(bridge.exitCode(within: 60) == 1, "\(bridge.logged)")
        #expect(bridge.logged.contains("spool.anyFileSystem: true takes it all the same"), "\(bridge.logged)")
    }

    @Test func whileTheSpoolIsBeingOpenedItTellsAndEndsInOrder() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge.openingItsSpool(in: folder)
        #expect(try bridge.admin("/readyz").hasPrefix("HTTP/1.1 503"))
        #expect(try bridge.admin("/healthz").hasPrefix("HTTP/1.1 200"))
        bridge.terminate()
        #expect(bridge.exitCode(within: 20) == 0, "\(bridge.logged)")
        #expect(bridge.logged.contains("\"shutdown complete\""))
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
        #expect(bridge.logged.contains("events left in the spool until the next start"))
        #expect(bridge.logged.contains("shutdown complete"))
    }

    /// A supervisor kills what takes longer. By its own clock: what a loaded machine adds before and after does not count.
    @Test func aClientThatNeverEndsDoesNotHoldItUpBeyondTheDeadline() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge(
            Self.noKafka + spool(folder) + ["--shutdown-delay", "0s", "--shutdown-deadline", "4s"])
        let client = try bridge.connect()
        client.send("POST /webhooks/reply HTTP/1.1\r\nHost: a\r\n")
        usleep(200_000)
        bridge.terminate()
        #expect(bridge.exitCode(within: 30) == 0, "\(bridge.logged)")
        let begun = try #require(bridge.time(of: "shutdown started"))
        let ended = try #require(bridge.time(of: "shutdown complete"))
        #expect(ended.timeIntervalSince(begun) < 4, "\(bridge.logged)")
        #expect(ended.timeIntervalSince(begun) > 2.5, "the client had its time")
    }

    @Test func whileItServesOnEveryAnswerIsTheLastOfItsConnection() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge(
            Self.noKafka + spool(folder) + ["--shutdown-delay", "10s", "--shutdown-deadline", "11s"])
        let client = try bridge.connect()
        client.send(ServedBridge.callback)
        #expect(!client.answer().contains("Connection: close"))
        bridge.terminate()
        #expect(bridge.wait { bridge.logged.contains("\"shutdown started\"") })
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

    /// A proxy keeps connections, and may be sending on one at the moment when it would be closed.
    @Test func afterListeningHasEndedIdleConnectionsAreStillServed() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge(
            Self.noKafka + spool(folder) + ["--shutdown-delay", "0s", "--shutdown-grace", "10s"])
        let clients = try (0..<3).map { _ in try bridge.connect() }
        for client in clients[..<2] {
            client.send(ServedBridge.callback)
            #expect(!client.answer().contains("Connection: close"))
        }
        bridge.terminate()
        #expect(bridge.wait { (try? bridge.connect()) == nil }, "no connection is accepted any more")
        usleep(300_000)
        // The third has never sent anything.
        for client in clients[1...] {
            client.send(ServedBridge.callback)
            let answer = client.rest()
            #expect(answer.hasPrefix("HTTP/1.1 200") && answer.contains("Connection: close"), "\(answer)")
        }
        // The first has stayed idle, and is closed when the grace is over.
        #expect(clients[0].rest() == "")
        #expect(bridge.exitCode(within: 60) == 0, "\(bridge.logged)")
        let begun = try #require(bridge.time(of: "shutdown started"))
        let ended = try #require(bridge.time(of: "shutdown complete"))
        #expect((10..<20).contains(ended.timeIntervalSince(begun)), "\(bridge.logged)")
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
            #expect(bridge.wait { bridge.logged.contains("\"shutdown started\"") })
            bridge.terminate()
        }
        #expect(client.rest().hasPrefix("HTTP/1.1 503"), "\(bridge.logged)")
        #expect(bridge.exitCode(within: 20) == 0, "\(bridge.logged)")
    }

    // MARK: The service manager

    @Test func aServiceManagerHearsOfTheStartTheStateASignOfLifeAndTheEnd() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/notify"
        let manager = try #require(unixSocket(boundTo: path, type: Int32(SOCK_DGRAM.rawValue)))
        defer { close(manager) }
        var heard: [String] = []
        func listen() {
            var buffer = [UInt8](repeating: 0, count: 4_096)
            while true {
                let got = recv(manager, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                if got < 0 { return }
                heard += String(decoding: buffer[..<got], as: UTF8.self).split(separator: "\n").map(String.init)
            }
        }
        func hears(_ message: String, from bridge: ServedBridge) -> Bool {
            bridge.wait {
                listen()
                return heard.contains(message)
            }
        }
        let bridge = try ServedBridge(
            Self.noKafka + spool(folder) + ["--shutdown-delay", "0s", "--shutdown-deadline", "2s"],
            environment: ["SMSBRIDGE_AUTH_NONE": "true", "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"])
        #expect(hears("READY=1", from: bridge))
        #expect(hears("STATUS=auth.none is true: all requests are accepted; Kafka does not answer", from: bridge))
        #expect(hears("WATCHDOG=1", from: bridge))
        #expect(!heard.contains("STOPPING=1"))
        // A loop that does not turn gives no sign of life.
        kill(bridge.identifier, SIGSTOP)
        usleep(300_000)
        listen()
        heard = []
        usleep(1_000_000)
        listen()
        #expect(heard.isEmpty)
        kill(bridge.identifier, SIGCONT)
        #expect(hears("WATCHDOG=1", from: bridge))
        bridge.terminate()
        #expect(hears("STOPPING=1", from: bridge))
        #expect(bridge.exitCode(within: 20) == 0, "\(bridge.logged)")
    }

    // MARK: Descriptors

    #if os(Linux)
    @Test func connectionsLeaveDescriptorsForKafka() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge(Self.noKafka + spool(folder), limit: "-n 64")
        #expect(bridge.logged.contains("LimitNOFILE="))
        #expect(bridge.logged.contains("http.maxConnections"))
        let clients = try (0..<100).map { _ in try bridge.connect() }
        // Those beyond the bound are told so; whoever comes last waits to be accepted.
        usleep(1_000_000)
        #expect(bridge.openDescriptors <= 64 - 4, "\(bridge.openDescriptors) are open")
        #expect(try bridge.admin("/healthz").hasPrefix("HTTP/1.1 200"))
        #expect(try bridge.admin("/metrics").contains("smsbridge_http_accept_pauses_total 0"))
        clients[0].send(ServedBridge.callback)
        #expect(clients[0].answer().hasPrefix("HTTP/1.1 200"))
    }

    @Test func theSoftLimitOfDescriptorsIsRaised() throws {
        let folder = try TemporaryFolder()
        let bridge = try ServedBridge(Self.noKafka + spool(folder), limit: "-S -n 64")
        let line = try bridge.admin("/metrics").split(separator: "\n").first { $0.hasPrefix("process_max_fds ") }
        let limit = line.flatMap { Double($0.split(separator: " ")[1].filter { $0 != "\r" }) } ?? 0
        #expect(limit > 64)
    }
    #endif
}

extension ServedBridge {
    /// When it logged a message.
    func time(of message: String) -> Date? {
        let format = ISO8601DateFormatter()
        format.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        for line in logged.split(separator: "\n") {
            guard let fields = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
                fields["message"] as? String == message
            else { continue }
            return (fields["time"] as? String).flatMap { format.date(from: $0) }
        }
        return nil
    }

    var openDescriptors: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(identifier)/fd").count) ?? -1
    }
}
