import SMSBridgeCertificates
import SMSBridgeTelemetry

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// When the certificates that a setting names expire.
struct CertificateExpiry: Sendable, Equatable {
    /// The setting, or Kafka's property.
    let setting: String
    /// The certificate that expires first, or that counts for a list of authorities.
    let first: CertificateFile.Validity?
    /// Seconds since 1970.
    let end: Int64

    /// - Parameters:
    ///   - validities: of a chain, or of authorities that are trusted; without any there is no expiry.
    ///   - isAuthorities: see `CertificateFile.authoritiesEnd`.
    init?(_ setting: String, _ validities: [CertificateFile.Validity], isAuthorities: Bool = false) {
        guard !validities.isEmpty else { return nil }
        let file = CertificateFile(validities: validities)
        self.setting = setting
        let end = isAuthorities ? file.authoritiesEnd : file.chainEnd
        self.end = end
        first = validities.first { $0.end == end }
    }
}

/// Metrics and log lines about certificates and about reloading their files.
struct CertificateMetrics: Sendable {
    /// What certificates are used for.
    enum Use: String {
        /// TLS on the public port.
        case http
        /// TLS towards the brokers.
        case kafka
    }

    private let registry: MetricRegistry
    private let logger: Logger
    private let reloads: Counter
    private let failures: Counter
    private let isFailed: Gauge

    /// How long before the expiry it is reported, in seconds.
    static let notice: Int64 = 14 * 86_400

    init(_ use: Use, registry: MetricRegistry, logger: Logger) {
        self.registry = registry
        self.logger = logger
        func counter(_ result: String) -> Counter {
            registry.counter(
                "smsbridge_certificate_reloads_total",
                help: "Reloads of changed certificate files, by use (http, kafka) and result (loaded, failed).",
                labels: [("use", use.rawValue), ("result", result)])
        }
        reloads = counter("loaded")
        failures = counter("failed")
        isFailed = registry.gauge(
            "smsbridge_certificate_reload_failed",
            help: "Whether changed certificate files cannot be used and the previous ones still are: 1 or 0.",
            labels: [("use", use.rawValue)])
    }

    func loaded() {
        reloads.increment()
        isFailed.set(0)
    }

    func failed() {
        failures.increment()
        isFailed.set(1)
    }

    /// The files in use are the current ones again.
    func resolved() { isFailed.set(0) }

    /// Sets when certificates expire, and logs which are to be renewed.
    func update(_ expiry: CertificateExpiry) {
        gauge(expiry.setting).set(Double(expiry.end))
        let now = Int64(time(nil))
        let fields: LogFields = [
            "setting": expiry.setting, "subject": expiry.first?.subject ?? "",
            "daysUntilExpiry": (expiry.end - now) / 86_400,
        ]
        if let begin = expiry.first?.begin, begin > now { logger.error("certificate not valid yet", fields) }
        if expiry.end <= now {
            logger.error("certificate expired", fields)
        } else if expiry.end - now < Self.notice {
            logger.warning("certificate expires soon", fields)
        } else {
            logger.info("certificate loaded", fields)
        }
    }

    /// The setting names no certificates any more.
    func remove(_ setting: String) { gauge(setting).set(0) }

    private func gauge(_ setting: String) -> Gauge {
        registry.gauge(
            "smsbridge_certificate_expiry_seconds",
            help: "When the certificates that a setting names expire, in seconds since 1970; 0 without any.",
            labels: [("setting", setting)])
    }
}
