import SMSBridgeThreads
import Testing

@testable import SMSBridgePublisher

/// A producer that is recreated when the machine has no thread to spare.
@Suite(.serialized) struct RecreationTests {
    @Test func withoutAThreadTheOldProducerIsKeptUntilThereIsOne() throws {
        let rig = try Rig()
        defer { rig.close() }
        let first = rig.publish()
        try rig.run { rig.outcomes[first] != nil }
        var failures = 0
        rig.publisher.producers?.startThread = { name, body in
            guard failures >= 2 else {
                failures += 1
                throw CancellationError()
            }
            _ = try NamedThread(name, body)
        }
        #expect(rig.publisher.injectFatalError())
        try rig.run { failures == 1 }
        #expect(
            rig.publisher.producers?.retired.producers.count == 1, "librdkafka's threads live, and may read the records"
        )
        try rig.run { rig.publisher.producers?.retired.producers.isEmpty == true && rig.publisher.kafkaTrouble == nil }
        #expect(failures == 2 && rig.publisher.producers?.retired.producers.isEmpty == true)
        let next = rig.publish()
        try rig.run { rig.outcomes[next] != nil }
        #expect(rig.outcomes[next] == .durable, "and service goes on")
    }
}
