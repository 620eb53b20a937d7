import Foundation
import Testing

@testable import SMSPortalConsumer

struct EnvironmentTests {
    private func configuration(_ variables: [String: String]) -> EventConsumer.Configuration {
        .fromEnvironment(group: "orders") { variables[$0] }
    }

    @Test func everyVariableIsRead() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(uniqueName("kafka")).properties")
        try Data("# a comment\n\nsecurity.protocol = SASL_PLAINTEXT\r\nsasl.password=a=b\n".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let all = configuration([
            "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "KAFKA_GROUP": "desk", "KAFKA_TOPIC_PREFIX": "eu",
            "KAFKA_PROPERTIES_FILE": file.path,
        ])
        #expect(all.bootstrapServers == "kafka:9092" && all.group == "desk" && all.topicPrefix == "eu")
        #expect(all.kafkaProperties == ["security.protocol": "SASL_PLAINTEXT", "sasl.password": "a=b"])
        #expect(all.problems().isEmpty)
        let few = configuration(["KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "KAFKA_GROUP": ""])
        #expect(few.group == "orders" && few.topicPrefix == "smsportal" && few.problems().isEmpty)
    }

    @Test func everythingWrongIsAProblemWithoutAValue() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(uniqueName("kafka")).properties")
        try Data("a=b\nhush\n".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        #expect(configuration([:]).problems().contains { $0.contains("KAFKA_BOOTSTRAP_SERVERS") })
        let problems = configuration(["KAFKA_BOOTSTRAP_SERVERS": "k:1", "KAFKA_PROPERTIES_FILE": file.path]).problems()
        #expect(problems.contains { $0.contains("line 2: expected name=value") && !$0.contains("hush") }, "\(problems)")
        let missing = configuration(["KAFKA_BOOTSTRAP_SERVERS": "k:1", "KAFKA_PROPERTIES_FILE": "/nonexistent/k"])
        #expect(
            missing.problems().contains { $0.contains("/nonexistent/k") && $0.contains("No such file") },
            "\(missing.problems())")
    }
}
