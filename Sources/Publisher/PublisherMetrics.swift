internal import Kafka
internal import SMSPortalEvents
package import Telemetry

/// What the publisher counts.
package struct PublisherMetrics: Sendable {
    let acknowledged: [Counter]
    let unavailable: [[Counter]]
    let acknowledgement: Histogram
    let lastEvent: [Gauge]
    let inFlight: Gauge
    let inFlightBytes: Gauge
    let lateAcknowledged: Counter
    let lateFailed: Counter
    let replacements: Counter
    private let registry: MetricRegistry

    package init(_ registry: MetricRegistry) {
        self.registry = registry
        acknowledged = EventTopic.allCases.map {
            registry.counter(
                "smsbridge_events_acknowledged_total", help: "Events that Kafka has acknowledged, by topic.",
                labels: [("topic", $0.suffix)])
        }
        unavailable = EventTopic.allCases.map { topic in
            PublishOutcome.Reason.allCases.map {
                registry.counter(
                    "smsbridge_events_unavailable_total",
                    help: "Events that could not be made durable and were answered 503, by topic and reason.",
                    labels: [("topic", topic.suffix), ("reason", $0.rawValue)])
            }
        }
        acknowledgement = registry.histogram(
            "smsbridge_acknowledgement_seconds",
            help: "From an event's last byte to Kafka's acknowledgement.", buckets: Histogram.latencyBounds)
        lastEvent = EventTopic.allCases.map {
            registry.gauge(
                "smsbridge_last_event_timestamp_seconds",
                help: "When the last event of a topic was acknowledged, UNIX time; 0 when none was since the start.",
                labels: [("topic", $0.suffix)])
        }
        inFlight = registry.gauge(
            "smsbridge_in_flight_events", help: "Events given to librdkafka whose delivery report is not in.")
        inFlightBytes = registry.gauge(
            "smsbridge_in_flight_bytes", help: "Bytes of the records whose delivery report is not in.")
        lateAcknowledged = registry.counter(
            "smsbridge_late_reports_total",
            help: "Delivery reports that came after the caller had been answered, by result.",
            labels: [("result", "acknowledged")])
        lateFailed = registry.counter(
            "smsbridge_late_reports_total",
            help: "Delivery reports that came after the caller had been answered, by result.",
            labels: [("result", "failed")])
        replacements = registry.counter(
            "smsbridge_producer_replacements_total", help: "Producers that were replaced after a fatal error.")
    }

    func refused(_ topic: Int, _ reason: PublishOutcome.Reason) {
        guard let position = PublishOutcome.Reason.allCases.firstIndex(of: reason) else { return }
        unavailable[topic][position].increment()
    }

    /// Kafka's errors are a closed set of a hundred names; each is registered when it is first met.
    func kafkaError(_ code: KafkaError.Code, kind: String) {
        registry.counter(
            "smsbridge_kafka_errors_total", help: "Errors of Kafka and librdkafka, by kind and name.",
            labels: [("kind", kind), ("error", code.description)]
        ).increment()
    }
}
