package import Telemetry
package final class Readiness: Sendable { package init() {}; package var isReady: Bool { true }; package func stop() {}; package func update(isKafkaAnswering: Bool) {} }
package final class Heartbeat: Sendable { package init() {}; package func beat() {} }
package final class Operations { package let port: UInt16 = 0; package init(host: String, port: UInt16, registry: MetricRegistry, readiness: Readiness, heartbeat: Heartbeat) throws {}; package func stop() {} }
