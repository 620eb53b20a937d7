// A consumer's lines to a logger of swift-log: with their level, metadata and source, and none below the logger's level.
import Logging
import SMSPortalConsumer
import SMSPortalEvents
import SMSPortalTesting
import Synchronization

final class Lines: Sendable {
    private let kept = Mutex<[String]>([])
    var all: [String] { kept.withLock { $0 } }
    func add(_ line: String) { kept.withLock { $0.append(line) } }
}

struct Handler: LogHandler {
    let lines: Lines
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(
        level: Logger.Level, message: Logger.Message, metadata own: Logger.Metadata?, source: String, file: String,
        function: String, line: UInt
    ) {
        let all = metadata.merging(own ?? [:]) { $1 }.sorted { $0.key < $1.key }
        lines.add("\(level) \(source): \(message) \(all.map { "\($0.key)=\($0.value)" }.joined(separator: " "))")
    }
}

let lines = Lines()
var logger = Logger(label: "orders") { _ in Handler(lines: lines) }
logger[metadataKey: "service"] = "orders"

let bridge = try await TestBridge()
var configuration = bridge.configuration(group: "traits")
configuration.log = .logger(logger)
try await bridge.publish(.reply(.sample(text: "yes")))
try await bridge.run(
    EventConsumer(configuration: configuration).onReply { _, context in
        context.log.debug("below the level")
        context.log.warning("looked at", ["event": "the handler's own", "order": "17"])
    })

func expect(_ what: String, _ isRight: (String) -> Bool) {
    guard lines.all.contains(where: isRight) else {
        print("no line: \(what)", lines.all.joined(separator: "\n"), separator: "\n")
        fatalError("not logged as expected")
    }
}
expect("the consumer's own") {
    $0.hasPrefix("info SMSPortalConsumer.consumer: consumer started ") && $0.contains(" service=orders")
        && $0.contains("group=traits") && $0.contains("topics=[") && $0.contains("smsportal.reply")
}
expect("the handler's") {
    $0.hasPrefix("warning SMSPortalConsumer.handler: looked at attempt=1 event=") && $0.contains("offset=0")
        && $0.contains("event_=the handler's own") && $0.contains("order=17")
}
guard !lines.all.contains(where: { $0.contains("below the level") }) else { fatalError("a line below the level") }
print("logged")
