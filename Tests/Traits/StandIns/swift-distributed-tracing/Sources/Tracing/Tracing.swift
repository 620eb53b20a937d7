// The part of swift-distributed-tracing's and swift-service-context's interface that the trait uses, for machines that cannot
// fetch the packages.
import Synchronization

/// As `ServiceContextModule.ServiceContext`; what an instrument extracts is in `values`.
public struct ServiceContext: Sendable {
    /// As in the original.
    @TaskLocal public static var current: ServiceContext?
    /// As in the original.
    public static var topLevel: ServiceContext { ServiceContext() }
    /// As in the original.
    public var values: [String: String] = [:]
}

/// As `Instrumentation.Extractor`.
public protocol Extractor: Sendable {
    associatedtype Carrier: Sendable
    func extract(key: String, from carrier: Carrier) -> String?
}

/// As `Instrumentation.Instrument`.
public protocol Instrument: Sendable {
    func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
    ) where Extract.Carrier == Carrier
}

/// As `Tracing.SpanKind`.
public enum SpanKind: Hashable, Sendable { case server, client, producer, consumer, `internal` }

/// As `Tracing.SpanAttributeConvertible`.
public protocol SpanAttributeConvertible { func toSpanAttribute() -> SpanAttribute }

/// As `Tracing.SpanAttribute`.
public enum SpanAttribute: Equatable, Sendable, SpanAttributeConvertible {
    case int64(Int64)
    case string(String)

    /// As in the original.
    public func toSpanAttribute() -> SpanAttribute { self }
}

/// As `Tracing.SpanAttributes`.
public struct SpanAttributes: Equatable, Sendable {
    /// As in the original.
    public private(set) var all: [String: SpanAttribute] = [:]

    /// As in the original.
    public subscript(_ name: String) -> (any SpanAttributeConvertible)? {
        get { all[name] }
        set { all[name] = newValue?.toSpanAttribute() }
    }
}

/// As `Tracing.Span`.
public protocol Span: AnyObject, Sendable {
    var attributes: SpanAttributes { get set }
}

extension Span {
    /// As in the original.
    public func updateAttributes(_ update: (inout SpanAttributes) -> Void) {
        var attributes = self.attributes
        update(&attributes)
        self.attributes = attributes
    }
}

/// As `Instrumentation.InstrumentationSystem`.
public enum InstrumentationSystem {
    private static let kept = Mutex<RecordingTracer?>(nil)
    /// As in the original.
    public static func bootstrap(_ tracer: RecordingTracer) { kept.withLock { $0 = tracer } }
    static var tracer: RecordingTracer { kept.withLock { $0 }! }
    /// As in the original.
    public static var instrument: any Instrument { tracer }
}

/// The tracer that a service would bootstrap: keeps its spans, and reads W3C Trace Context.
public final class RecordingTracer: Instrument {
    /// A span, and how it ended.
    public final class Recorded: Span {
        /// Recorded.
        public let name: String
        /// Recorded.
        public let kind: SpanKind
        /// Recorded.
        public let parent: ServiceContext
        private let state = Mutex<(SpanAttributes, String?)>((SpanAttributes(), nil))

        init(name: String, kind: SpanKind, parent: ServiceContext) {
            (self.name, self.kind, self.parent) = (name, kind, parent)
        }

        /// Recorded.
        public var attributes: SpanAttributes {
            get { state.withLock { $0.0 } }
            set { state.withLock { $0.0 = newValue } }
        }
        /// Recorded.
        public var error: String? {
            get { state.withLock { $0.1 } }
            set { state.withLock { $0.1 = newValue } }
        }
    }

    private let kept = Mutex<[Recorded]>([])
    /// Recorded.
    public init() {}
    /// Recorded.
    public var spans: [Recorded] { kept.withLock { $0 } }
    func keep(_ span: Recorded) { kept.withLock { $0.append(span) } }

    /// Recorded.
    public func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
    ) where Extract.Carrier == Carrier {
        for key in ["traceparent", "tracestate", "baggage"] {
            context.values[key] = extractor.extract(key: key, from: carrier)
        }
    }
}

/// As `Tracing.withSpan`.
public func withSpan<T>(
    _ operationName: String, context: @autoclosure () -> ServiceContext = .current ?? .topLevel,
    ofKind kind: SpanKind = .internal, isolation: isolated (any Actor)? = #isolation, function: String = #function,
    file fileID: String = #fileID, line: UInt = #line, _ operation: (any Span) async throws -> T
) async rethrows -> T {
    let span = RecordingTracer.Recorded(name: operationName, kind: kind, parent: context())
    defer { InstrumentationSystem.tracer.keep(span) }
    var own = span.parent
    own.values["span"] = operationName
    do { return try await ServiceContext.$current.withValue(own) { try await operation(span) } } catch {
        span.error = "\(error)"
        throw error
    }
}
