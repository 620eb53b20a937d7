import SMSBridgeEventLoop
import SMSBridgeHTTPServer
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// TLS on the public port: the certificate at the start, and another one when its files change.
///
/// The files are looked at and read on a thread of its own; what was read is made use of on the loop, within a
/// millisecond. Open connections keep what they have begun with.
final class CertificateWatch {
    private let files: TLSFiles
    private let server: HTTPServer
    private let logger: Logger
    private let expiry: Gauge
    private let loaded: Counter
    private let failed: Counter
    private let alert: (String?) -> Void
    private var task: BackgroundTask?

    /// Two looks that agree: a file that is just being written is left alone.
    private static let interval: Int32 = 1_000
    /// How long before the end it is time to say so.
    private static let notice: Int64 = 14 * 86_400

    /// What the thread has found.
    private enum Found: Sendable {
        case material(TLSMaterial)
        case problem(String)
    }

    /// The metrics are there without TLS, too.
    private struct Metrics {
        let expiry: Gauge
        let loaded: Counter
        let failed: Counter

        init(_ registry: MetricRegistry) {
            expiry = registry.gauge(
                "smsbridge_tls_certificate_expiry_seconds",
                help: "When the certificate of the public port expires, in seconds since 1970; 0 without TLS.")
            func reloads(_ result: String) -> Counter {
                registry.counter(
                    "smsbridge_tls_certificate_reloads_total",
                    help: "Times that changed certificate files were taken into use, or were wrong and not taken.",
                    labels: [("result", result)])
            }
            loaded = reloads("loaded")
            failed = reloads("failed")
        }
    }

    /// Gives the server its certificate, and begins to look at the files if there are any.
    ///
    /// - Parameter alert: is told what is wrong with changed files, and nil when nothing is any more.
    /// - Returns: nil without TLS.
    /// - Throws: what keeps TLS from being spoken, with setting and path.
    static func start(
        _ settings: BridgeSettings, server: HTTPServer, loop: EventLoop, logger: Logger, registry: MetricRegistry,
        alert: @escaping (String?) -> Void
    ) throws -> CertificateWatch? {
        let metrics = Metrics(registry)
        guard let files = TLSFiles(settings) else { return nil }
        let watch = CertificateWatch(files, server: server, logger: logger, metrics, alert: alert)
        let identities = files.identities
        try watch.use(files.context(files.read()))
        let found = try loop.makeMailbox(of: Found.self) { [watch] batch in
            for each in batch { watch.take(each) }
        }
        watch.task = try BackgroundTask("certificates") { stop in
            Self.look(files, since: identities, until: stop) { _ = found.post($0) }
        }
        return watch
    }

    private init(
        _ files: TLSFiles, server: HTTPServer, logger: Logger, _ metrics: Metrics, alert: @escaping (String?) -> Void
    ) {
        self.files = files
        self.server = server
        self.logger = logger
        self.alert = alert
        expiry = metrics.expiry
        loaded = metrics.loaded
        failed = metrics.failed
    }

    /// Blocks until the thread has ended.
    func stop() { task?.stop() }

    private static func look(
        _ files: TLSFiles, since: [TLSFiles.Identity?], until stop: StopSignal, tell: (Found) -> Void
    ) {
        var known = since
        var last = since
        while !stop.wait(milliseconds: interval) {
            let now = files.identities
            defer { last = now }
            guard now != known, now == last else { continue }
            do throws(TLSFiles.Problem) {
                let material = try files.read()
                // Changed while they were read: another look.
                guard files.identities == now else { continue }
                tell(.material(material))
            } catch {
                tell(.problem(error.description))
            }
            known = now
        }
    }

    // MARK: On the loop

    private func take(_ found: Found) {
        do throws(TLSFiles.Problem) {
            switch found {
            case .material(let material): try use(files.context(material))
            case .problem(let text): throw TLSFiles.Problem(description: text)
            }
            loaded.increment()
            alert(nil)
        } catch {
            failed.increment()
            alert("the certificate's files have changed and are wrong, the old ones are in use: \(error.description)")
            logger.error("changed certificate files are not taken, the old ones stay in use", ["reason": "\(error)"])
        }
    }

    private func use(_ context: TLSContext) throws(TLSFiles.Problem) {
        server.tls = context
        expiry.set(Double(context.expiry))
        let now = Int64(time(nil))
        let days = (context.expiry - now) / 86_400
        logger.info("TLS on the public port", ["expires in days": days])
        if context.validFrom > now {
            logger.error(
                "the certificate is not valid yet: clients refuse it", ["valid in seconds": context.validFrom - now])
        }
        if context.expiry <= now {
            logger.error("the certificate has expired: clients refuse it", ["expired days ago": -days])
        } else if context.expiry - now < Self.notice {
            logger.warning("the certificate expires soon", ["expires in days": days])
        }
    }
}
