// Handlers in spans of swift-distributed-tracing: the parent is the trace of the vendor's request, the handler's context is the
// span's, a failed attempt is a span with its error, and no attribute holds a number or a text.
import SMSPortalConsumer
import SMSPortalTesting
import Synchronization
import Tracing

struct Busy: Error {}

let tracer = RecordingTracer()
InstrumentationSystem.bootstrap(tracer)
let seen = Mutex<[String?]>([])
let bridge = try await TestBridge()
let consumer = EventConsumer(configuration: bridge.configuration(group: "traits"))
    .use(.tracing)
    .onReply { _, context in
        seen.withLock { $0.append(ServiceContext.current?.values["span"]) }
        if context.attempt == 1 { throw Busy() }
    }
let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
var reply = Reply.sample(text: "a secret", msisdn: "27821234567")
reply.envelope.traceparent = traceparent
reply.envelope.tracestate = "vendor=1"
try await bridge.publish(.reply(reply))
try await bridge.run(consumer)

func expect(_ isRight: Bool, _ what: String) {
    guard isRight else { fatalError("not traced as expected: \(what)") }
}
let spans = tracer.spans
expect(spans.count == 2 && spans.allSatisfy { $0.name == "process smsportal.reply" && $0.kind == .consumer }, "spans")
expect(spans.allSatisfy { $0.parent.values["traceparent"] == traceparent }, "the parent")
expect(spans.allSatisfy { $0.parent.values["tracestate"] == "vendor=1" && $0.parent.values["baggage"] == nil }, "state")
expect(spans.map(\.error) == ["Busy()", nil], "errors \(spans.map(\.error))")
expect(seen.withLock { $0 } == Array(repeating: "process smsportal.reply", count: 2), "the handler's context")
let attributes = spans[1].attributes.all
expect(attributes["messaging.system"] == .string("kafka"), "the system")
expect(attributes["messaging.consumer.group.name"] == .string("traits"), "the group")
expect(attributes["messaging.message.id"] == .string(reply.id), "the id")
expect(attributes["messaging.kafka.offset"] == .int64(0) && attributes["smsportal.attempt"] == .int64(2), "numbers")
expect(!"\(attributes)".contains("secret") && !"\(attributes)".contains("27821234567"), "content")
print("traced")
