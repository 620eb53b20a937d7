// What the documentation shows, pasted into a type marked `@main`; main.swift of MainFile has the same at the top level.
import SMSPortalConsumer

@main
struct Service {
    static func main() async throws {
        writeLinesAtOnce()
        let orders = PrintedOrders()
        let part = CommandLine.arguments.dropFirst().first

        if part == "handlers" {
            let consumer = EventConsumer(configuration: .fromEnvironment(group: "orders"))
                .onDeliveryStatus { status, context in
                    guard status.state == .delivered, let reference = status.reference else { return }
                    try await orders.markDelivered(reference)
                    context.log.info("order delivered")
                }
            await consumer.runOrExit()
        }

        if part == "signals" {
            let consumer = makeConsumer(.fromEnvironment(group: "orders"), orders)
            try await consumer.run(until: [.sigterm, .sigint])
            print("ended, with everything committed")
        }

        if part == "failure" {
            var configuration = EventConsumer.Configuration.fromEnvironment(group: "orders")
            configuration.failure = FailurePolicy(
                maxAttempts: 8, backoff: RetryBackoff(initial: .milliseconds(500), maximum: .seconds(30)),
                finally: .deadLetter)
            configuration.failureForError = { error in
                error is MalformedOrder ? .deadLetterNow : nil
            }
            await makeConsumer(configuration, orders).runOrExit()
        }

        if part == "idempotency" {
            var configuration = EventConsumer.Configuration.fromEnvironment(group: "orders")
            configuration.processedEvents = InMemoryProcessedEvents()
            await makeConsumer(configuration, orders).runOrExit()
        }

        if part == "security" {
            var configuration = EventConsumer.Configuration.fromEnvironment(group: "orders")
            configuration.kafkaProperties = [
                "security.protocol": "SASL_SSL", "ssl.ca.location": "/etc/kafka/ca.pem",
                "sasl.mechanism": "PLAIN", "sasl.username": "orders", "sasl.password": "secret",
            ]
            await makeConsumer(configuration, orders).runOrExit()
        }

        if part == "loop" {
            let consumer = EventConsumer(configuration: .fromEnvironment(group: "orders"))
            for try await delivery in consumer.events(.reply, .urlClick, until: .standard) {
                print(delivery.event.type, delivery.context.eventID)
                delivery.acknowledge()
            }
        }

        if part == "replay" {
            let consumer = makeConsumer(.fromEnvironment(group: "orders"), orders)
            let replay = Replay("lost-database", of: consumer, from: .ago(.seconds(24 * 3_600)))
            let result = try await replay.run(until: .standard)
            print("handled again: \(result.handled)")
        }

        if part == "middleware" {
            let consumer = makeConsumer(.fromEnvironment(group: "orders"), orders)
            consumer.use { event, context, next in
                let start = ContinuousClock.now
                try await next()
                context.log.info("handled", ["type": event.type.rawValue, "took": "\(ContinuousClock.now - start)"])
            }
            await consumer.runOrExit()
        }

        if part == "batches" {
            let consumer = EventConsumer(configuration: .fromEnvironment(group: "orders"))
                .onDeliveryStatuses(maxCount: 500, maxDelay: .milliseconds(50)) { batch in
                    let delivered = batch.filter { $0.event.state == .delivered }
                    try await orders.markDelivered(delivered.compactMap(\.event.reference))
                }
            await consumer.runOrExit()
        }

        if part == "production" {
            var configuration = EventConsumer.Configuration.fromEnvironment(group: "orders")
            configuration.failure.maxAttempts = 8
            configuration.processedEvents = InMemoryProcessedEvents()
            let consumer = EventConsumer(configuration: configuration)
                .use(.logging)
                .onDeliveryStatus { status, _ in
                    guard let reference = status.reference else { return }
                    try await orders.markDelivered(reference)
                }
                .onURLClick(startAt: .latest) { click, context in
                    context.log.info("clicked", ["type": click.type.rawValue])
                }
            let readiness = Task {
                while !Task.isCancelled {
                    print(consumer.health.httpStatus, consumer.health.json)
                    try await Task.sleep(for: .seconds(1))
                }
            }
            await consumer.runOrExit()
            readiness.cancel()
        }

        if part == "decoding" {
            let callback = Callback(
                method: .post, route: .reply, contentType: "application/json",
                body: #"{"Id":9007199254740993,"Msisdn":"27000000002","Message":"Stop","Received":1735718400}"#)
            let record = try Event(callback: callback, receivedAt: EventTime(millisecondsSinceEpoch: 1_735_718_401_000))
                .record()
            switch try Event(value: record.value, headers: record.headers) {
            case .reply(let reply) where reply.isOptOut: print("unsubscribe, says event", reply.id)
            case .deliveryStatus(let status) where status.state == .failed:
                print("failed:", status.reference ?? "no reference")
            case .unrecognised(let event): print("not understood:", event.reason)
            default: break
            }
        }
    }
}
