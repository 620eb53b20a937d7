import Foundation
import SMSBridgeEventLoop
import SMSBridgeKafka
import SMSBridgePublisher
import SMSBridgeSpool
import SMSPortalEvents
import Testing

/// The publisher with its spool, on the mock cluster with its faults.
@Suite(.serialized) struct PublisherSpoolTests {
    private func withRig(
        path: String? = nil, _ adjust: (inout PublisherConfiguration) -> Void = { _ in }, _ body: (Rig) throws -> Void
    ) throws {
        let folder =
            path ?? FileManager.default.temporaryDirectory.appendingPathComponent("spool-\(UUID().uuidString)").path
        defer { if path == nil { try? FileManager.default.removeItem(atPath: folder) } }
        let rig = try Rig {
            var spool = SpoolConfiguration(path: folder, lanes: EventTopic.allCases.map(\.suffix))
            spool.allowsAnyFileSystem = true
            $0.spool = spool
            $0.deadline = .seconds(20)
            adjust(&$0)
        }
        defer { rig.close() }
        var isSettled = false
        rig.publisher.onSpoolSettled = { isSettled = true }
        try rig.run { isSettled }
        try body(rig)
        #expect(rig.answeredTwice.isEmpty)
    }

    private func stored(_ rig: Rig) throws -> Int {
        let client = try Client.silent(ClientConfiguration(bootstrapServers: rig.cluster.bootstrapServers))
        defer { client.destroy() }
        return try (0..<Int32(3)).map {
            try client.watermarks(topic: "smsportal.delivery-status", partition: $0, timeout: 10_000).count
        }.reduce(0, +)
    }

    @Test func whileKafkaIsAwayEventsAreDurableInTheSpoolAndLaterInKafka() throws {
        try withRig { rig in
            let before = rig.publish()
            try rig.run { rig.outcomes[before] != nil }
            try rig.cluster.setDown(1)
            let tokens = (0..<500).map { rig.publish(msisdn: "2712345\($0)") }
            try rig.run { rig.outcomes.count == 501 }
            #expect(tokens.allSatisfy { rig.outcomes[$0] == .durable }, "answered from the spool")
            #expect(rig.publisher.spooledEvents == 500)
            try rig.cluster.setUp(1)
            try rig.run(atMost: 60) { rig.publisher.isIdle }
            #expect(rig.publisher.isIdle, "the spool drains by itself")
            #expect(try stored(rig) >= 501)
            let after = rig.publish()
            try rig.run { rig.outcomes[after] != nil && rig.publisher.isIdle && rig.publisher.spoolingTopics.isEmpty }
            #expect(rig.outcomes[after] == .durable)
            #expect(rig.publisher.isIdle && rig.publisher.spoolingTopics.isEmpty, "the lane is open again")
        }
    }

    @Test func anotherLifeDrainsWhatThisOneLeft() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("spool-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try withRig(path: folder) { rig in
            try rig.cluster.setDown(1)
            let tokens = (0..<200).map { _ in rig.publish() }
            try rig.run { rig.outcomes.count == 200 }
            #expect(tokens.allSatisfy { rig.outcomes[$0] == .durable })
        }
        try withRig(path: folder) { rig in
            #expect(rig.publisher.spooledEvents == 200)
            try rig.run(atMost: 60) { rig.publisher.isIdle }
            #expect(try stored(rig) == 200)
        }
    }

    @Test func aFatalErrorLosesNothingAndRefusesNobody() throws {
        try withRig { rig in
            for _ in 1...3 {
                let tokens = (0..<100).map { _ in rig.publish() }
                rig.publisher.injectFatalError()
                let more = (0..<100).map { _ in rig.publish() }
                try rig.run(atMost: 60) {
                    (tokens + more).allSatisfy { rig.outcomes[$0] != nil } && rig.publisher.isIdle
                }
                #expect((tokens + more).allSatisfy { rig.outcomes[$0] == .durable })
            }
            #expect(try stored(rig) >= 600)
        }
    }

    @Test func aSlowBrokerCostsOneHedgeNotOnePerRequest() throws {
        try withRig { rig in
            let first = rig.publish()
            try rig.run { rig.outcomes[first] != nil }
            try rig.cluster.setRoundTripTime(3_000, of: 1)
            let late = rig.publish()
            try rig.run { rig.outcomes[late] != nil }
            #expect(rig.outcomes[late] == .durable)
            let next = rig.publish()
            try rig.run { rig.outcomes[next] != nil }
            #expect(rig.outcomes[next] == .durable)
            let text = String(decoding: rig.metrics(), as: UTF8.self)
            #expect(text.contains("smsbridge_topic_spooling_total 1"), "closed once")
            #expect(text.contains("smsbridge_events_hedged_total 1"), "the second went to the spool at once")
            try rig.cluster.setRoundTripTime(0, of: 1)
            try rig.run(atMost: 60) { rig.publisher.isIdle }
            #expect(rig.publisher.isIdle)
        }
    }

    @Test func aFileThatIsSetAsideIsToldUntilSomebodyDeletesIt() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("spool-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(repeating: 7, count: 20_000).write(to: URL(fileURLWithPath: folder + "/spool.db"))
        try withRig(path: folder) { rig in
            try rig.run { rig.publisher.filesSetAside == 1 }
            let text = String(decoding: rig.metrics(), as: UTF8.self)
            #expect(text.contains("smsbridge_spool_corrupt_files 1") && text.contains("smsbridge_spool_open 1"))
        }
        // Another life finds it there.
        try withRig(path: folder) { rig in
            try rig.run { rig.publisher.filesSetAside == 1 }
            #expect(rig.publisher.filesSetAside == 1)
            let names = try FileManager.default.contentsOfDirectory(atPath: folder)
            for name in names where name.hasPrefix("spool-quarantined") {
                try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
            }
            try rig.run { rig.publisher.filesSetAside == 0 }
            #expect(rig.publisher.filesSetAside == 0)
        }
    }

    @Test func aSpoolThatCannotBeOpenedIsTold() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("spool-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data().write(to: URL(fileURLWithPath: folder))
        try withRig(path: folder) { rig in
            #expect(String(decoding: rig.metrics(), as: UTF8.self).contains("smsbridge_spool_open 0"))
            #expect(!rig.publisher.hasSpoolRoom)
            try FileManager.default.removeItem(atPath: folder)
            try rig.run { rig.publisher.hasSpoolRoom }
            #expect(String(decoding: rig.metrics(), as: UTF8.self).contains("smsbridge_spool_open 1"))
        }
    }
}
