/// Why a request is refused before any handler has to judge it: one case for each rule, with the answer that the rule
/// asks for. The raw value is a fixed word, safe as a metric's label.
package enum RequestRule: String, Sendable, CaseIterable {
    // The request line.
    case emptyLines = "empty-lines"
    case method = "method"
    case methodTooLong = "method-too-long"
    case connect = "connect"
    case target = "target"
    case targetForm = "target-form"
    case targetEncoding = "target-encoding"
    case targetTooLong = "target-too-long"
    case version = "version"
    case versionUnsupported = "version-unsupported"
    // Lines and fields.
    case bareCR = "bare-cr"
    case bareLF = "bare-lf"
    case fieldName = "field-name"
    case spaceBeforeColon = "space-before-colon"
    case foldedField = "folded-field"
    case fieldValue = "field-value"
    case headersTooLarge = "headers-too-large"
    case tooManyHeaders = "too-many-headers"
    case hostMissing = "host-missing"
    case hostRepeated = "host-repeated"
    case hostInvalid = "host-invalid"
    case expectation = "expectation"
    // Where the body ends.
    case lengthInvalid = "length-invalid"
    case lengthRepeated = "length-repeated"
    case lengthAndEncoding = "length-and-encoding"
    case encodingInHTTP10 = "encoding-in-http-1.0"
    case encodingInvalid = "encoding-invalid"
    case encodingNotChunked = "encoding-not-chunked"
    case encodingUnknown = "encoding-unknown"
    case bodyTooLarge = "body-too-large"
    case chunkSize = "chunk-size"
    case chunkExtension = "chunk-extension"
    case chunkExtensionsTooLarge = "chunk-extensions-too-large"
    case chunkEnd = "chunk-end"
    case trailerField = "trailer-field"
    case trailersTooLarge = "trailers-too-large"

    /// The status that answers it.
    ///
    /// Never 5xx, though the RFC suggests 501 for an unknown transfer coding and a method beyond all lengths, and 505
    /// for a version: a 5xx says that the server has failed and invites a retry, and anyone who sends invalid bytes
    /// could trigger alerts with it. 400 is right for each of them, too.
    package var status: Int {
        switch self {
        case .bodyTooLarge: 413
        case .targetTooLong: 414
        case .expectation: 417
        case .headersTooLarge, .tooManyHeaders, .trailersTooLarge: 431
        default: 400
        }
    }

    /// The section of the standard that the rule comes from.
    package var section: String {
        switch self {
        case .emptyLines, .bareCR, .bareLF: "RFC 9112 section 2.2"
        case .method, .methodTooLong: "RFC 9112 section 3.1"
        case .connect: "RFC 9110 section 9.3.6"
        case .target, .targetForm: "RFC 9112 section 3.2"
        case .targetEncoding: "RFC 3986 section 2.1"
        case .targetTooLong: "RFC 9110 section 15.5.15"
        case .version: "RFC 9112 section 2.3"
        case .versionUnsupported: "RFC 9110 section 15.6.6"
        case .fieldName: "RFC 9110 section 5.1"
        case .fieldValue: "RFC 9110 section 5.5"
        case .spaceBeforeColon: "RFC 9112 section 5.1"
        case .foldedField: "RFC 9112 section 5.2"
        case .headersTooLarge, .tooManyHeaders, .trailersTooLarge: "RFC 6585 section 5"
        case .hostMissing, .hostRepeated, .hostInvalid: "RFC 9112 section 3.2"
        case .expectation: "RFC 9110 section 10.1.1"
        case .lengthInvalid, .lengthRepeated: "RFC 9110 section 8.6"
        case .lengthAndEncoding, .encodingInHTTP10, .encodingInvalid, .encodingUnknown: "RFC 9112 section 6.1"
        case .encodingNotChunked: "RFC 9112 section 6.3"
        case .bodyTooLarge: "RFC 9110 section 15.5.14"
        case .chunkSize, .chunkEnd: "RFC 9112 section 7.1"
        case .chunkExtension, .chunkExtensionsTooLarge: "RFC 9112 section 7.1.1"
        case .trailerField: "RFC 9110 section 6.5.1"
        }
    }
}
