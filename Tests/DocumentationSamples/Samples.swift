// What the documentation of the consumer library shows, compiled. The pages quote this file line for line.
import SMSPortalConsumer
import SMSPortalEvents

struct PaymentDeclined: Error {}
struct MalformedOrder: Error {}

protocol Orders: Sendable {
    func markDelivered(_ reference: String) async throws
}

func deliveryConsumer(_ orders: some Orders) -> EventConsumer {
    let consumer = EventConsumer(configuration: .init(bootstrapServers: "kafka:9092", group: "orders"))
        .onDeliveryStatus { status, context in
            guard status.state == .delivered, let reference = status.reference else { return }
            try await orders.markDelivered(reference)
            context.log.info("order delivered")
        }
    return consumer
}

func failurePolicies() -> EventConsumer.Configuration {
    var configuration = EventConsumer.Configuration(bootstrapServers: "kafka:9092", group: "orders")
    configuration.failure = FailurePolicy(
        maxAttempts: 8, backoff: RetryBackoff(initial: .milliseconds(500), maximum: .seconds(30)), finally: .deadLetter)
    configuration.failureForError = { error in
        error is MalformedOrder ? .deadLetterNow : nil
    }
    return configuration
}

func once() -> EventConsumer.Configuration {
    var configuration = EventConsumer.Configuration(bootstrapServers: "kafka:9092", group: "orders")
    configuration.processedEvents = InMemoryProcessedEvents()
    return configuration
}

func secured() -> EventConsumer.Configuration {
    var configuration = EventConsumer.Configuration(bootstrapServers: "kafka:9093", group: "orders")
    configuration.kafkaProperties = [
        "security.protocol": "SASL_SSL", "ssl.ca.location": "/etc/kafka/ca.pem",
        "sasl.mechanism": "PLAIN", "sasl.username": "orders", "sasl.password": "secret",
    ]
    return configuration
}

func loop(_ consumer: EventConsumer) async throws {
    for try await delivery in consumer.events(.reply, .urlClick) {
        print(delivery.event.type, delivery.context.eventID)
        delivery.acknowledge()
    }
}

func replayLostEvents(_ consumer: EventConsumer) async throws {
    let replay = Replay("lost-database", of: consumer, from: .ago(.seconds(24 * 3_600)))
    async let result = replay.run()
    for await progress in replay.progress { print(progress) }
    print("handled again: \(try await result.handled)")
}
