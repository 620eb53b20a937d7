internal import SMSBridgeEventLoop
package import SMSBridgeHTTPServer
package import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// How the private port is set up.
package struct OperationsConfiguration: Sendable {
    /// Address to listen on.
    package var host = "127.0.0.1"
    /// Port; 0 lets the system choose.
    package var port: UInt16 = 9464
    /// `/healthz` says no when the public loop has not turned for this long.
    package var livenessBound = Duration.seconds(5)
    /// Connections served at a time.
    package var maxConnections = 256
    /// How often the last hour is sampled for `/`; 360 samples are kept.
    package var sampleInterval = Duration.seconds(10)
    /// What `/` and `/status` say of the instance itself.
    package var instance = InstanceDescription()

    package init() {}
}

/// What the status page says of the instance itself.
package struct InstanceDescription: Sendable {
    /// Name and version of the program.
    package var title = "smsbridge"
    /// The name of the machine.
    package var host = ""
    /// The accounts of the vendor whose callbacks are accepted.
    package var accounts: [String] = []
    /// `kafka.bootstrapServers`.
    package var brokers: [String] = []
    /// The address of the runbook; empty for the one that the instance serves itself.
    package var runbookURL = ""

    package init() {}
}

/// The private port could not be opened.
package struct OperationsError: Error, Sendable, CustomStringConvertible {
    /// What failed, and the system's reason.
    package let description: String
}

/// The private port: the status page, `/status`, `/healthz`, `/readyz` and `/metrics`, on a loop and a thread of its
/// own.
///
/// It answers also while the public loop is blocked, and reports that.
package final class OperationsServer: Sendable {
    private struct Running: Sendable {
        var mailbox: Mailbox<Bool>
        var thread: NamedThread
        var port: UInt16
        var skippedAddresses: [SkippedAddress]
    }

    private let configuration: OperationsConfiguration
    private let registry: MetricRegistry
    private let readiness: ServiceReadiness
    private let heartbeat: Heartbeat
    private let running = Mutex<Running?>(nil)

    /// - Parameters:
    ///   - registry: what `/metrics` renders.
    ///   - readiness: what `/readyz` tells.
    ///   - heartbeat: of the public loop, for `/healthz`.
    package init(
        configuration: OperationsConfiguration, registry: MetricRegistry, readiness: ServiceReadiness,
        heartbeat: Heartbeat
    ) {
        self.configuration = configuration
        self.registry = registry
        self.readiness = readiness
        self.heartbeat = heartbeat
    }

    /// Listens, and serves until `stop()`. Called again while it serves, it only tells the port.
    ///
    /// - Returns: the port, which matters when the system was to choose it.
    /// - Throws: When the address is invalid, the port is unavailable, or no thread or descriptor can be created.
    package func start() throws(OperationsError) -> UInt16 {
        let result: Result<UInt16, OperationsError> = running.withLock { running in
            if let running { return .success(running.port) }
            do throws(OperationsError) {
                let started = try launch()
                running = started
                return .success(started.port)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Addresses of the configured name that are not listened on; none unless it serves.
    package var skippedAddresses: [SkippedAddress] { running.withLock { $0?.skippedAddresses ?? [] } }

    /// Stops serving and waits for the thread to end. Harmless when repeated.
    package func stop() {
        let stopped = running.withLock { running in
            defer { running = nil }
            return running
        }
        guard let stopped else { return }
        stopped.mailbox.post(true)
        stopped.thread.join()
    }

    private func launch() throws(OperationsError) -> Running {
        // The new thread tells through a pipe that it has put down its result.
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw OperationsError(description: "open a pipe: \(String(cString: strerror(errno)))")
        }
        let (reading, writing) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(reading) }
        let outcome = Outcome()
        let thread: NamedThread
        do throws(ThreadError) {
            thread = try NamedThread("operations") { [configuration, registry, readiness, heartbeat] in
                let handler = OperationsHandler(
                    configuration: configuration, registry: registry, readiness: readiness, heartbeat: heartbeat)
                Self.serve(configuration, handler) { result in
                    outcome.value.withLock { $0 = result }
                    close(writing)
                }
            }
        } catch {
            close(writing)
            throw OperationsError(description: "\(error)")
        }
        var byte: UInt8 = 0
        while read(reading, &byte, 1) < 0, errno == EINTR {}
        switch outcome.value.withLock({ $0 }) {
        case .success(let started)?:
            return Running(
                mailbox: started.mailbox, thread: thread, port: started.port, skippedAddresses: started.skipped)
        case .failure(let error)?:
            thread.join()
            throw error
        case nil:
            thread.join()
            throw OperationsError(description: "the thread of the private port ended")
        }
    }

    private typealias Started = Result<
        (mailbox: Mailbox<Bool>, port: UInt16, skipped: [SkippedAddress]), OperationsError
    >

    private final class Outcome: Sendable {
        let value = Mutex<Started?>(nil)
    }

    /// On the thread: all that is not Sendable is made and ends here.
    private static func serve(
        _ configuration: OperationsConfiguration, _ handler: OperationsHandler, tell: (Started) -> Void
    ) {
        let loop: EventLoop
        do throws(EventLoopError) {
            loop = try EventLoop()
        } catch {
            return tell(.failure(OperationsError(description: "\(error)")))
        }
        var settings = HTTPServerConfiguration()
        settings.host = configuration.host
        settings.port = configuration.port
        settings.backlog = 64
        settings.maxConnections = max(1, configuration.maxConnections)
        settings.maxSurplusConnections = min(settings.maxSurplusConnections, max(1, settings.maxConnections / 4))
        // However many connections are held, a supervisor's probe is accepted and answered.
        settings.displacesWaiting = true
        settings.maxUnfinishedBytes = 4 << 20
        settings.limits.maxBodyBytes = 4 << 10
        settings.limits.maxTargetBytes = 8 << 10
        let server = HTTPServer(loop: loop, configuration: settings, handler: handler)
        handler.attach(to: server, on: loop)
        do throws(HTTPServerError) {
            let port = try server.listen()
            let mailbox: Mailbox<Bool>
            do throws(EventLoopError) {
                try handler.follow(loop)
                mailbox = try loop.makeMailbox(of: Bool.self) { [unowned loop, unowned server] _ in
                    server.close()
                    loop.stop()
                }
            } catch {
                server.close()
                loop.destroy()
                return tell(.failure(OperationsError(description: "\(error)")))
            }
            tell(.success((mailbox, port, server.skippedAddresses)))
            loop.run()
            mailbox.close()
        } catch {
            tell(.failure(OperationsError(description: "\(error)")))
        }
        server.close()
        loop.destroy()
    }
}
