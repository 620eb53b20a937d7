/// Why the value of a record is no event.
public struct EventDecodingError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of failure. More may be added.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String {
            case tombstone, empty, notJSON = "not-json", notAnObject = "not-an-object", unknownType = "unknown-type"
            case unsupportedVersion = "unsupported-version", missingField = "missing-field"
            case invalidField = "invalid-field"
        }

        private let kind: Kind

        private init(_ kind: Kind) { self.kind = kind }

        /// The record has no value.
        public static let tombstone = Code(.tombstone)
        /// The value has no bytes.
        public static let empty = Code(.empty)
        /// The value is not JSON (RFC 8259) in UTF-8, or nested deeper than 64 levels.
        public static let notJSON = Code(.notJSON)
        /// The value is JSON, but not an object.
        public static let notAnObject = Code(.notAnObject)
        /// The `type` is none that this version knows.
        public static let unknownType = Code(.unknownType)
        /// The `ce_type` header names another version of the type than v1, or another type than the value.
        public static let unsupportedVersion = Code(.unsupportedVersion)
        /// A field that every such event has is missing.
        public static let missingField = Code(.missingField)
        /// A field has a value that it cannot have.
        public static let invalidField = Code(.invalidField)

        /// A short name with a bounded set of values, fit for metrics: `missing-field`.
        public var description: String { kind.rawValue }
    }

    /// The kind of failure.
    public let code: Code
    /// The field that it is about, by its place in the value: `raw.bodyBase64`. Nil where it is about the whole value.
    public let field: String?

    init(_ code: Code, field: String? = nil) {
        self.code = code
        self.field = field
    }

    /// The code and the field: `missing-field: status`. Never anything of the value.
    public var description: String { field.map { "\(code): \($0)" } ?? "\(code)" }
}
