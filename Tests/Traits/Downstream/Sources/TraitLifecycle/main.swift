// A consumer as a service of swift-service-lifecycle: it handles an event, and the graceful shutdown of its group ends it.
import SMSPortalConsumer
import SMSPortalEvents
import SMSPortalTesting
import ServiceLifecycle

let bridge = try await TestBridge()
let shutdown = Shutdown()
let consumer = EventConsumer(configuration: bridge.configuration(group: "traits"))
    .onReply { reply, _ in
        print("handled \(reply.text)")
        shutdown.trigger()
    }
try await bridge.publish(.reply(.sample(text: "yes")))
let service: any Service = consumer
try await shutdown.run(service)
print("shut down")
