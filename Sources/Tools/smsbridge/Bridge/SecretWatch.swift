import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads

/// Reads the files that hold secrets again, from time to time and on a thread of its own, and tells of what has changed.
///
/// What is read, not when the file was written, decides: a secret that is mounted into a container changes by a link. It is
/// used once it has been read twice alike, for a file that is just being written is not to be taken half. Files that cannot
/// be used change nothing but an alert.
final class SecretWatch: Sendable {
    private let settings: BridgeSettings
    private let logger: Logger
    private let reloads: Counter
    private let unusable: Gauge

    private static let interval: Int32 = 2_000

    init(_ settings: BridgeSettings, logger: Logger, registry: MetricRegistry) {
        self.settings = settings
        self.logger = logger
        reloads = registry.counter(
            "smsbridge_secret_reloads_total", help: "How often changed files of secrets were taken over.")
        unusable = registry.gauge(
            "smsbridge_secret_files_unusable",
            help: "Whether files of secrets cannot be used, so that the secrets read before are still in force: 1 or 0."
        )
    }

    /// Begins to read.
    ///
    /// - Parameters:
    ///   - alert: called on the thread with what is wrong with the files, and with nil when nothing is any more.
    ///   - apply: called on the thread with the settings that hold the new secrets.
    func start(
        alert: @escaping @Sendable (String?) -> Void, apply: @escaping @Sendable (BridgeSettings) -> Void
    ) throws -> BackgroundTask {
        try BackgroundTask("secrets") { [self] stop in
            var current = settings
            var seen: BridgeSettings?
            var trouble: String?
            var isToldOf = false
            while !stop.wait(milliseconds: Self.interval) {
                do throws(SettingsFailure) {
                    let read = try current.withSecretsReadAgain()
                    if isToldOf {
                        logger.info("the files of secrets can be used again")
                        unusable.set(0)
                        alert(nil)
                    }
                    (trouble, isToldOf) = (nil, false)
                    guard read != current else {
                        seen = nil
                        continue
                    }
                    guard read == seen else {
                        seen = read
                        continue
                    }
                    let changed = Self.changes(from: current, to: read)
                    (current, seen) = (read, nil)
                    apply(read)
                    reloads.increment()
                    logger.info("secrets have changed and are in force", ["settings": changed.joined(separator: ", ")])
                } catch {
                    seen = nil
                    let text = error.problems.map(\.description).joined(separator: "; ")
                    // The first time may be in the middle of a change.
                    if text == trouble, !isToldOf {
                        isToldOf = true
                        logger.error(
                            "files of secrets cannot be used: those read before stay in force", ["reason": text])
                        unusable.set(1)
                        alert("files of secrets cannot be used, those read before are in force: \(text)")
                    }
                    if text != trouble { (trouble, isToldOf) = (text, false) }
                }
            }
        }
    }

    /// The settings whose secrets are others now.
    private static func changes(from old: BridgeSettings, to new: BridgeSettings) -> [String] {
        var keys: [String] = []
        if old.auth.header != new.auth.header { keys.append("auth.header") }
        if old.auth.path != new.auth.path { keys.append("auth.path") }
        if old.auth.query != new.auth.query { keys.append("auth.query") }
        if old.auth.signature != new.auth.signature { keys.append("auth.signature") }
        if old.kafka != new.kafka { keys.append("kafka.propertyFiles") }
        return keys
    }
}
