/// Why a callback could not be understood.
///
/// The set is closed in this version; a later bridge may add to it, so unknown values are kept as they are.
public struct UnrecognisedReason: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    /// As in the value of a record, such as `invalid-json`.
    public let rawValue: String

    /// - Parameter rawValue: As in the value of a record.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The same as ``rawValue``.
    public var description: String { rawValue }

    /// The reasons that this version gives.
    enum Known: UInt8, CaseIterable {
        case empty, invalidUTF8, invalidJSON, notAnObject, tooDeep, invalidForm, unknownShape, missingFields, tooLong
        case tooMany
        case unsupportedCharset, invalidCharset, unsupportedEncoding, invalidEncoding

        var name: StaticString {
            switch self {
            case .empty: "empty"
            case .invalidUTF8: "invalid-utf-8"
            case .invalidJSON: "invalid-json"
            case .notAnObject: "not-an-object"
            case .tooDeep: "too-deep"
            case .invalidForm: "invalid-form"
            case .unknownShape: "unknown-shape"
            case .missingFields: "missing-fields"
            case .tooLong: "too-long"
            case .tooMany: "too-many"
            case .unsupportedCharset: "unsupported-charset"
            case .invalidCharset: "invalid-charset"
            case .unsupportedEncoding: "unsupported-encoding"
            case .invalidEncoding: "invalid-encoding"
            }
        }
    }

    private init(_ known: Known) { self.init(rawValue: "\(known.name)") }

    /// Neither a query string nor a body.
    public static let empty = UnrecognisedReason(.empty)
    /// The query string or the body, percent-decoded, is not UTF-8.
    public static let invalidUTF8 = UnrecognisedReason(.invalidUTF8)
    /// The body is neither JSON (RFC 8259) nor a form.
    public static let invalidJSON = UnrecognisedReason(.invalidJSON)
    /// The body is JSON, but not an object.
    public static let notAnObject = UnrecognisedReason(.notAnObject)
    /// The JSON is nested deeper than 64 levels.
    public static let tooDeep = UnrecognisedReason(.tooDeep)
    /// A query string or form with a percent sign that begins no escape, or with a control character.
    public static let invalidForm = UnrecognisedReason(.invalidForm)
    /// It came to `/webhooks` without a type, and its fields are those of no type.
    public static let unknownShape = UnrecognisedReason(.unknownShape)
    /// The type is known, but what makes such an event is missing; the detail says what.
    public static let missingFields = UnrecognisedReason(.missingFields)
    /// The fields of the event are longer than 64 KiB together, or a compressed body is larger than the bridge accepts.
    public static let tooLong = UnrecognisedReason(.tooLong)
    /// More than 4,096 parameters; the rest was not looked at.
    public static let tooMany = UnrecognisedReason(.tooMany)

    /// The body is not UTF-8, and its content type declares a charset that is not supported.
    public static let unsupportedCharset = UnrecognisedReason(.unsupportedCharset)
    /// The body is not text in the charset that its content type declares.
    public static let invalidCharset = UnrecognisedReason(.invalidCharset)
    /// The body has another `Content-Encoding` than gzip and deflate.
    public static let unsupportedEncoding = UnrecognisedReason(.unsupportedEncoding)
    /// The body cannot be decoded as its `Content-Encoding` says.
    public static let invalidEncoding = UnrecognisedReason(.invalidEncoding)

    /// All reasons that this version gives.
    public static let all: [UnrecognisedReason] = Known.allCases.map(UnrecognisedReason.init)
}
