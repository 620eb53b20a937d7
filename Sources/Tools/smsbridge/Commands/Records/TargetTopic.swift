import SMSBridgeKafka
import SMSPortalEvents

/// What topics that are written to do with the timestamps and keys of records.
struct TargetTopic: Sendable {
    let name: String
    /// `retention.ms`; nil for no limit, or when it is not known.
    var retention: Int64?
    /// `message.timestamp.before.max.ms`: the broker rejects older records. nil for no limit.
    var maxAge: Int64?
    var isCompacted = false
    /// Whether the broker sets the timestamp (`message.timestamp.type=LogAppendTime`).
    var setsTimestamp = false
    /// Whether the configuration could be read.
    var isKnown = false

    init(name: String, configuration: [String: String?]?) {
        self.name = name
        guard let configuration else { return }
        isKnown = true
        func limit(_ key: String) -> Int64? {
            (configuration[key] ?? nil).flatMap { Int64($0) }.flatMap { (0..<Int64.max).contains($0) ? $0 : nil }
        }
        let policies = ((configuration["cleanup.policy"] ?? nil) ?? "").split(separator: ",").map {
            $0.filter { $0 != " " }
        }
        isCompacted = policies.contains("compact")
        if policies.contains("delete") { retention = limit("retention.ms") }
        maxAge = limit("message.timestamp.before.max.ms") ?? limit("message.timestamp.difference.max.ms")
        setsTimestamp = configuration["message.timestamp.type"] == "LogAppendTime"
    }

    /// Asks the cluster for the configurations. Blocks.
    static func describe(
        _ names: [String], _ client: ClientConfiguration, timeout: Int32 = 10_000
    ) throws(ReplayFailure) -> [TargetTopic] {
        do throws(KafkaError) {
            let admin = try Admin(client)
            defer { admin.close() }
            let found = try admin.configurations(of: names.map { .topic($0) }, timeout: timeout)
            return names.map { name in TargetTopic(name: name, configuration: try? found[.topic(name)]?.get()) }
        } catch {
            throw ReplayFailure(message: "Kafka: \(error.message)")
        }
    }

    /// The shortest time for which a record is of use, in milliseconds: what is deleted sooner counts as lost.
    static let leastStay: Int64 = 3_600_000

    /// Why a record would be lost: rejected, or deleted soon.
    ///
    /// - Returns: nil when it would not be, as far as the configuration tells.
    func problem(of timestamp: Int64, now: Int64) -> String? {
        guard !setsTimestamp else { return nil }
        let age = now - timestamp
        if let maxAge, age > maxAge {
            return
                "\(name): the broker rejects records older than \(Self.text(maxAge)) (message.timestamp.before.max.ms)"
        }
        if let retention, age + min(Self.leastStay, retention / 2) > retention {
            return "\(name) deletes records after \(Self.text(retention)) (retention.ms)"
        }
        return nil
    }

    /// Why records would be lost whatever their time.
    var compaction: String? {
        isCompacted
            ? "\(name) is compacted (cleanup.policy): it keeps only the newest event of each number, and takes none without one"
            : nil
    }

    /// The oldest timestamp without a problem; nil where there is none.
    func oldest(now: Int64) -> Int64? {
        guard !setsTimestamp else { return nil }
        let limits = [retention.map { $0 - min(Self.leastStay, $0 / 2) }, maxAge].compactMap(\.self)
        return limits.min().map { now - $0 }
    }

    private static func text(_ milliseconds: Int64) -> String {
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)] as [(String, Int64)]
        where milliseconds >= size && milliseconds % size == 0 {
            return "\(milliseconds / size)\(unit)"
        }
        return "\(milliseconds)ms"
    }
}
