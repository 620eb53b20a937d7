import SMSBridgeKafka
import SMSBridgeOperations
import SMSBridgePublisher
import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSPortalEvents

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// `smsbridge serve`
enum Serve {
    static let command = Command(
        "serve", summary: "Receive callbacks and publish them to Kafka",
        discussion: """
            Callbacks come to /webhooks/<type> (\(EventType.recognised.map(\.rawValue).joined(separator: ", "))) or to
            /webhooks, where the fields tell the type. Each is answered 200 once its event is in Kafka or synced in the
            spool. SIGTERM ends it in order, a second one at once. SIGHUP reloads the files of secrets and certificates.
            """,
        settings: .init(needs: .serve, readsServerKey: true),
        examples: [
            .init(
                "with everything on the command line but the secret",
                "SMSBRIDGE_AUTH_HEADER_SECRETS_FILE=/run/secrets/webhook smsbridge serve "
                    + "--kafka-bootstrap-servers kafka:9092"),
            .init("from a file", "smsbridge serve --config /etc/smsbridge.yaml"),
        ]
    ) { run($1) }

    /// Signals whose default action would end the process with callers waiting, and which are no request to end it. SIGHUP
    /// is ignored until the bridge handles it. SIGQUIT and SIGABRT end it with a core dump.
    private static var ignoredSignals: [Int32] {
        var signals = [SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO]
        #if os(Linux)
        signals += [SIGPWR, SIGSTKFLT] + Array(__libc_current_sigrtmin()...__libc_current_sigrtmax())
        #endif
        return signals
    }

    static func run(_ loaded: LoadedSettings) -> Int32 {
        ignoreSignals(Self.ignoredSignals)
        unblockSignals(Self.ignoredSignals)
        let registry = MetricRegistry()
        let logger = Output.logger(loaded.settings.log, registry: registry)
        defer { _ = logger.sink.flush(timeout: .seconds(2)) }
        registry.addProcessMetrics()
        registry.addBuildInfo(Version.labels)
        logger.info("starting", ["version": Version.number, "librdkafka": Version.librdkafka])
        DescriptorBudget.raiseLimit()
        for warning in loaded.warnings { logger.warning(warning) }
        if let trouble = loaded.settings.topicPlan.access.scramTrouble { logger.warning(trouble) }
        for setting in loaded.effective where setting.source != .standard {
            logger.info("setting", ["key": setting.key, "value": setting.value, "source": "\(setting.source)"])
        }
        var notifier: ServiceNotifier?
        do {
            notifier = try ServiceNotifier { name in getenv(name).map { String(cString: $0) } }
        } catch {
            logger.warning("sd_notify unavailable", ["reason": "\(error)"])
        }
        let bridge = Bridge(
            loaded.settings, logger: logger, registry: registry, reloadsOnHangup: true, notifier: notifier)
        var exitCode = ExitCode.success
        do {
            try bridge.run()
        } catch let error as KafkaError {
            logger.error("cannot serve", ["reason": loaded.settings.topicPlan.access.explain(error.description)])
            exitCode = ExitCode.failure
        } catch {
            logger.error("cannot serve", ["reason": "\(error)"])
            exitCode = ExitCode.failure
        }
        if bridge.leavesThreads {
            _ = logger.sink.flush(timeout: .seconds(2))
            _exit(exitCode)
        }
        return exitCode
    }
}
