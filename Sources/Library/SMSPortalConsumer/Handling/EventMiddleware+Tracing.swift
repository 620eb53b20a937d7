#if DistributedTracing
internal import SMSPortalEvents
internal import Tracing

extension EventMiddleware {
    /// With the package trait `DistributedTracing`: a span of swift-distributed-tracing around every attempt of a handler, as the
    /// instrument of the process (`InstrumentationSystem.bootstrap`) makes it.
    ///
    /// The parent is the W3C Trace Context of the vendor's request, where it had one. The handler runs with the span as its
    /// `ServiceContext.current`, so that clients of other services go on with the trace. Name, kind and attributes follow
    /// OpenTelemetry's conventions for messaging: `process smsportal.reply`, consumer, `messaging.*`. No attribute holds a number
    /// or text of a subscriber. An error is recorded by the tracer.
    public static let tracing = EventMiddleware { event, context, next in
        var parent = ServiceContext.current ?? .topLevel
        InstrumentationSystem.instrument.extract(context, into: &parent, using: TraceHeaders())
        try await withSpan("process \(context.topic)", context: parent, ofKind: .consumer) { span in
            span.updateAttributes { attributes in
                attributes["messaging.system"] = SpanAttribute.string("kafka")
                attributes["messaging.operation.type"] = SpanAttribute.string("process")
                attributes["messaging.destination.name"] = SpanAttribute.string(context.topic)
                attributes["messaging.destination.partition.id"] = SpanAttribute.string("\(context.partition)")
                attributes["messaging.kafka.offset"] = SpanAttribute.int64(context.offset)
                attributes["messaging.consumer.group.name"] = SpanAttribute.string(context.group)
                attributes["messaging.message.id"] = SpanAttribute.string(context.eventID)
                attributes["smsportal.event.type"] = SpanAttribute.string(event.type.rawValue)
                attributes["smsportal.attempt"] = SpanAttribute.int64(Int64(context.attempt))
            }
            try await next()
        }
    }
}

/// Reads W3C Trace Context from an event.
private struct TraceHeaders: Extractor {
    func extract(key: String, from context: EventContext) -> String? {
        switch key.lowercased() {
        case "traceparent": context.traceparent
        case "tracestate": context.tracestate
        default: nil
        }
    }
}
#endif
