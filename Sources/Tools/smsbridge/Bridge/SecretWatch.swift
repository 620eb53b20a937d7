import SMSBridgeSettings
import SMSBridgeTelemetry
import SMSBridgeThreads
import Synchronization

/// Reloads the files that hold secrets when they change, from time to time and on a thread of its own.
///
/// What is read, not when the file was written, decides: a secret that is mounted into a container changes by a link. It is
/// used once two reads agree, for a file that is just being written is not to be taken half; at once where a reload is
/// requested. Files that cannot be used change nothing but an alert.
final class SecretWatch: Sendable {
    private let settings: BridgeSettings
    private let files: SecretFiles
    private let logger: Logger
    private let reloads: Counter
    private let unusable: Gauge
    private let requests = ReloadRequests()
    private let task = Mutex<BackgroundTask?>(nil)

    /// In milliseconds.
    private static let interval: Int32 = 2_000

    init(_ settings: BridgeSettings, _ files: SecretFiles, logger: Logger, registry: MetricRegistry) {
        self.settings = settings
        self.files = files
        self.logger = logger
        reloads = registry.counter("smsbridge_secret_reloads_total", help: "Reloads of changed secret files.")
        unusable = registry.gauge(
            "smsbridge_secret_reload_failed",
            help: "Whether secret files cannot be used and the previous secrets still are: 1 or 0.")
    }

    /// Begins to read.
    ///
    /// - Parameters:
    ///   - alert: called on the thread with the reason why the files cannot be used, and with nil once it is resolved.
    ///   - apply: called on the thread with the settings that hold the new secrets.
    func start(
        alert: @escaping @Sendable (String?) -> Void, apply: @escaping @Sendable (BridgeSettings) -> Void
    ) throws {
        let started = try BackgroundTask("secrets") { [self] stop in watch(until: stop, alert, apply) }
        task.withLock { $0 = started }
    }

    /// Reads the files now.
    ///
    /// - Parameter answer: called on the thread with the result, after the new secrets were applied.
    func reload(_ answer: @escaping ReloadRequests.Answer) {
        requests.add(answer)
        task.withLock(\.self)?.wake()
    }

    /// Blocks until the thread has ended.
    func stop() { task.withLock(\.self)?.stop() }

    private func watch(until stop: StopSignal, _ alert: (String?) -> Void, _ apply: (BridgeSettings) -> Void) {
        var current = settings
        var seen: BridgeSettings?
        var problem: String?
        var isReported = false
        while !stop.wait(milliseconds: Self.interval) {
            let requested = requests.take()
            var result = ReloadResult.unchanged
            do throws(SettingsFailure) {
                let read = try files.read(into: current)
                if isReported {
                    logger.info("secret files usable again")
                    unusable.set(0)
                    alert(nil)
                }
                (problem, isReported) = (nil, false)
                if read == current {
                    seen = nil
                } else if read == seen || !requested.isEmpty {
                    let changed = Self.changes(from: current, to: read)
                    (current, seen) = (read, nil)
                    apply(read)
                    reloads.increment()
                    result = .reloaded
                    logger.info("secrets reloaded", ["settings": changed.joined(separator: ", ")])
                } else {
                    seen = read
                }
            } catch {
                seen = nil
                result = .failed
                let text = error.problems.map(\.description).joined(separator: "; ")
                // The first failure may be in the middle of a change.
                if text == problem && !isReported || !requested.isEmpty {
                    isReported = true
                    logger.error("secret reload failed, keeping the current secrets", ["reason": text])
                    unusable.set(1)
                    alert("secret reload failed, keeping the current secrets: \(text)")
                } else if text != problem {
                    isReported = false
                }
                problem = text
            }
            for answer in requested { answer(result) }
        }
    }

    /// The settings whose secrets are others now.
    private static func changes(from old: BridgeSettings, to new: BridgeSettings) -> [String] {
        var keys = zip(old.auth.kinds, new.auth.kinds).filter { !$0.holder.hasSameSecrets(as: $1.holder) }.map(\.0.key)
        if old.kafka != new.kafka { keys.append("kafka.propertyFiles") }
        return keys
    }
}
