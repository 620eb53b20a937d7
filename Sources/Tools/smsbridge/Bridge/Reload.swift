import SMSBridgeTelemetry
import SMSBridgeThreads
import Synchronization

/// What a requested reload did to the files of one kind.
enum ReloadResult: String, Sendable {
    /// Changed files are in use.
    case reloaded
    /// The files are those in use.
    case unchanged
    /// The files cannot be used; the previous ones still are.
    case failed
}

/// Requests to read files now, for the thread that watches them.
final class ReloadRequests: Sendable {
    typealias Answer = @Sendable (ReloadResult) -> Void

    private let waiting = Mutex<[Answer]>([])

    /// - Parameter answer: called once, on any thread, with the result.
    func add(_ answer: @escaping Answer) { waiting.withLock { $0.append(answer) } }

    /// Takes the requests that wait; they are to be answered.
    func take() -> [Answer] {
        waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}

/// One reload on request, from the signal to the log line with its results.
final class Reload: Sendable {
    /// Kinds of files, in the order of the log line.
    enum Kind: String, CaseIterable, Sendable {
        case secrets
        case httpCertificate
        case kafkaCertificates
    }

    private let logger: Logger
    private let results = Mutex<[Kind: ReloadResult]>([:])
    private let kinds: [Kind]

    /// - Parameter kinds: those that there are files of.
    init(_ kinds: [Kind], logger: Logger) {
        self.kinds = kinds
        self.logger = logger
        logger.info("reload requested", ["files": kinds.map(\.rawValue).joined(separator: ", ")])
        if kinds.isEmpty { finish([:]) }
    }

    /// Logs the results once all of them are known.
    func set(_ result: ReloadResult, of kind: Kind) {
        let all = results.withLock { results in
            results[kind] = result
            return results
        }
        if all.count == kinds.count { finish(all) }
    }

    private func finish(_ results: [Kind: ReloadResult]) {
        var fields: LogFields = [:]
        for kind in Kind.allCases { fields.append([kind.rawValue: results[kind]?.rawValue ?? "none"]) }
        if results.values.contains(.failed) {
            logger.error("reload finished, failed files keep their previous content", fields)
        } else {
            logger.info("reload finished", fields)
        }
    }
}
