import Foundation
import SMSPortalConsumer
import SMSPortalTesting
import Testing

/// What the documentation shows runs as pasted: in a main.swift and in a type marked `@main`, against a cluster, until
/// SIGTERM. The process then exits with code 0, and what it has handled is committed.
struct SnippetTests {
    private static let types = ["SMSBridgeSnippetMainFile", "SMSBridgeSnippetMainType"]
    private static let parts = [
        "handlers", "signals", "failure", "idempotency", "loop", "middleware", "batches", "production",
    ]
    private static let examples = [
        "CallBacks", "CustomerRecords", "FollowUps", "OptOuts", "PositiveReplies", "CampaignStatistics",
    ].map { "SMSBridge\($0)" }

    private struct Case: CustomTestStringConvertible {
        let program: String
        let part: String?
        var testDescription: String { [program, part].compactMap(\.self).joined(separator: " ") }
    }

    private static let cases =
        types.flatMap { type in parts.map { Case(program: type, part: $0) } }
        + examples.map { Case(program: $0, part: nil) }

    /// One event of every type that a program may handle, so that each has something to commit.
    private func events(_ count: Int) -> [Event] {
        (0..<count).flatMap { index -> [Event] in
            let number = "2782100\(1000 + index)"
            return [
                .deliveryStatus(.sample(msisdn: number, reference: "order-\(index)")),
                .reply(.sample(text: "Yes please", msisdn: number)), .reply(.sample(text: "Stop", msisdn: number)),
                .shortCode(.sample(msisdn: number)), .urlPreview(.sample(msisdn: number)),
                .urlClick(.sample(msisdn: number)),
            ]
        }
    }

    @Test(arguments: cases)
    private func aProgramEndsWithSIGTERMAndEverythingHandledIsCommitted(_ one: Case) async throws {
        let bridge = try await TestBridge()
        let group = "snippet"
        // Makes the group's topics, too.
        let configuration = bridge.configuration(group: group)
        try await bridge.publish(events(5))
        let program = try Program(
            one.program, one.part.map { [$0] } ?? [],
            environment: [
                "KAFKA_BOOTSTRAP_SERVERS": bridge.bootstrapServers, "KAFKA_GROUP": group, "DATABASE": ":memory:",
            ])
        // Commits come every 5 s: the last events are committed by the shutdown, or not at all.
        let reader = EventConsumer(configuration: configuration)
        try #require(
            try await program.wait { $0.contains("partitions assigned") }, "never had partitions: \(program.output)")
        var count = 5
        switch one.part {
        case nil: break
        case "loop":
            reader.on(.reply, .urlClick) { _, _ in }
            count = 15
        default: reader.onDeliveryStatus { _, _ in }
        }
        if let part = one.part {
            let words =
                ["handlers": ["order delivered"], "loop": ["reply ", "urlClick "]][part] ?? ["delivered order-"]
            let isHandled = try await program.wait { output in
                words.reduce(0) { $0 + output.components(separatedBy: $1).count - 1 } >= count
            }
            try #require(isHandled, "\(program.output)")
        }
        if one.part == "production" {
            let isReady = try await program.wait { $0.contains(#"200 {"ready":true"#) }
            try #require(isReady, "\(program.output)")
        }
        program.send(SIGTERM)
        let code = try #require(try await program.untilExit(), "still running: \(program.output)")
        try #require(code == 0, "\(program.output)")
        #expect(program.output.contains("shutdown started"))
        if one.part != nil { try await bridge.untilHandled(by: reader) }
        if one.part == "signals" { #expect(program.output.contains("ended, with everything committed")) }
    }

    /// The top level of a program traps on a thrown error, with a stack trace.
    @Test(arguments: examples + types)
    func aWrongConfigurationIsAMessageAndExitCode2(_ name: String) async throws {
        let program = try Program(
            name, ["handlers"],
            environment: [
                "KAFKA_GROUP": "no group", "KAFKA_PROPERTIES_FILE": "/nonexistent/kafka.properties",
                "DATABASE": ":memory:",
            ])
        #expect(try await program.untilExit() == 2)
        let lines = program.output.split(separator: "\n")
        #expect(lines.count == 3 && lines.allSatisfy { $0.hasPrefix("error: configuration: ") }, "\(program.output)")
        for named in ["bootstrapServers", "KAFKA_BOOTSTRAP_SERVERS", "'no group-redrive'", "KAFKA_PROPERTIES_FILE"] {
            #expect(program.output.contains(named), "\(program.output)")
        }
    }

    @Test func aKafkaClientThatCannotBeMadeIsAMessageAndExitCode1() async throws {
        let program = try Program(
            "SMSBridgeSnippetMainFile", ["security"], environment: ["KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"])
        #expect(try await program.untilExit() == 1)
        #expect(program.output.contains("ssl.ca.location") && !program.output.contains("secret"), "\(program.output)")
    }

    @Test(arguments: types)
    func aRecordIsDecoded(_ name: String) async throws {
        let program = try Program(name, ["decoding"], environment: [:])
        #expect(try await program.untilExit() == 0)
        #expect(program.output.hasPrefix("unsubscribe, says event "), "\(program.output)")
    }

    /// A handler that does not end is cancelled by the second signal, long before the shutdown timeout.
    @Test func theSecondSignalCancelsHandlers() async throws {
        let bridge = try await TestBridge()
        _ = bridge.configuration(group: "snippet")
        try await bridge.publish(events(1))
        let program = try Program(
            "SMSBridgeSnippetMainFile", ["stuck"],
            environment: ["KAFKA_BOOTSTRAP_SERVERS": bridge.bootstrapServers, "KAFKA_GROUP": "snippet"])
        try #require(try await program.wait { $0.contains("stuck") }, "\(program.output)")
        program.send(SIGINT)
        try #require(try await program.wait { $0.contains("shutdown started") }, "\(program.output)")
        program.send(SIGTERM)
        #expect(try await program.untilExit() == 0, "\(program.output)")
        #expect(program.output.contains("cancelled"), "\(program.output)")
    }
}
