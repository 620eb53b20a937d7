import SMSBridgeEventLoop
import SMSBridgeHTTPServer
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads

/// TLS on the public port: the certificate at the start, and another one when its files change.
///
/// The files are looked at and read on a thread of its own; what was read is made use of on the loop, within a
/// millisecond. Open connections keep what they have begun with.
final class CertificateWatch {
    private let files: TLSFiles
    private let server: HTTPServer
    private let logger: Logger
    private let metrics: CertificateMetrics
    private let alert: (String?) -> Void
    private let requests = ReloadRequests()
    private var task: BackgroundTask?
    /// Whether what was read last could not be used.
    private var isFailed = false

    /// Two looks that agree: a file that is just being written is left alone. In milliseconds.
    private static let interval: Int32 = 1_000

    /// What the thread has found.
    private enum Finding: Sendable {
        /// What the files hold, and whether they are others than those in use.
        case material(TLSMaterial, isChanged: Bool)
        /// The files cannot be read, now at least.
        case problem(String)
        /// The files are those in use again.
        case resolved
    }

    private struct Found: Sendable {
        let finding: Finding
        var requested: [ReloadRequests.Answer] = []
    }

    /// Gives the server its certificate, and begins to look at the files if there are any.
    ///
    /// - Parameter alert: Called with the problem of changed files, and with nil when it is resolved.
    /// - Returns: nil without TLS.
    /// - Throws: what keeps TLS from being spoken, with setting and path.
    static func start(
        _ settings: BridgeSettings, server: HTTPServer, loop: EventLoop, logger: Logger, registry: MetricRegistry,
        alert: @escaping (String?) -> Void
    ) throws -> CertificateWatch? {
        let metrics = CertificateMetrics(.http, registry: registry, logger: logger)
        guard let files = TLSFiles(settings) else { return nil }
        let watch = CertificateWatch(files, server: server, logger: logger, metrics, alert: alert)
        let identities = files.identities
        try watch.use(files.read())
        let found = try loop.makeMailbox(of: Found.self) { [watch] batch in
            for each in batch { watch.take(each) }
        }
        watch.task = try BackgroundTask("certificates") { [requests = watch.requests] stop in
            Self.look(files, since: identities, until: stop, requests) { _ = found.post($0) }
        }
        return watch
    }

    private init(
        _ files: TLSFiles, server: HTTPServer, logger: Logger, _ metrics: CertificateMetrics,
        alert: @escaping (String?) -> Void
    ) {
        self.files = files
        self.server = server
        self.logger = logger
        self.alert = alert
        self.metrics = metrics
    }

    /// Reads the files now.
    ///
    /// - Parameter answer: called on the loop with the result.
    func reload(_ answer: @escaping ReloadRequests.Answer) {
        requests.add(answer)
        task?.wake()
    }

    /// Blocks until the thread has ended.
    func stop() { task?.stop() }

    private static func look(
        _ files: TLSFiles, since: [FileIdentity?], until stop: StopSignal, _ requests: ReloadRequests,
        tell: (Found) -> Void
    ) {
        var changes = FileChanges(inUse: since)
        var reported: String?
        while !stop.wait(milliseconds: interval) {
            let requested = requests.take()
            let now = files.identities
            let isChanged = !changes.areInUse(now)
            guard changes.isDue(now, isRequested: !requested.isEmpty) || !requested.isEmpty else {
                if reported != nil, !isChanged {
                    reported = nil
                    tell(Found(finding: .resolved))
                }
                continue
            }
            do throws(TLSFiles.Problem) {
                let material = try files.read()
                // Changed while they were read: another look. Who has requested a reload gets what there is.
                guard files.identities == now || !requested.isEmpty else { continue }
                changes.use(now)
                reported = nil
                tell(Found(finding: .material(material, isChanged: isChanged), requested: requested))
            } catch {
                // The reason may pass without a change of the files (no descriptors left), so they are read at each look.
                guard error.description != reported || !requested.isEmpty else { continue }
                reported = error.description
                tell(Found(finding: .problem(error.description), requested: requested))
            }
        }
    }

    // MARK: On the loop

    private func take(_ found: Found) {
        var result = ReloadResult.unchanged
        do throws(TLSFiles.Problem) {
            switch found.finding {
            case .material(let material, let isChanged):
                if isChanged || isFailed {
                    try use(material)
                    metrics.loaded()
                    result = .reloaded
                }
            case .problem(let text): throw TLSFiles.Problem(description: text)
            case .resolved: metrics.resolved()
            }
            isFailed = false
            alert(nil)
        } catch {
            isFailed = true
            result = .failed
            metrics.failed()
            alert("the certificate's files have changed and cannot be used: \(error.description)")
            logger.error("certificate reload failed, keeping the current certificate", ["reason": "\(error)"])
        }
        for answer in found.requested { answer(result) }
    }

    private func use(_ material: TLSMaterial) throws(TLSFiles.Problem) {
        let context = try files.context(material)
        server.tls = context
        for expiry in TLSFiles.expiries(of: material) { metrics.update(expiry) }
    }
}
