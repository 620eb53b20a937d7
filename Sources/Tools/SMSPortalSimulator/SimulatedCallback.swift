package import SMSPortalEvents

/// The ways in which SMSPortal has sent callbacks over the years; a receiver meets all of them.
package enum CallbackGeneration: String, Sendable, CaseIterable {
    /// Legacy forwarding: fixed PascalCase names in the query, by GET or by POST with an empty body. The answer has to
    /// contain `True`.
    case legacyGET = "legacy-get"
    /// V1: fixed PascalCase names in the query of a GET.
    case v1GET = "v1-get"
    /// V2: fixed names in a JSON body.
    case v2POST = "v2-post"
    /// The current template engine with its default keys, in the query of a GET.
    case templateGET = "template-get"
    /// The current template engine with its default keys, in a JSON body.
    case templatePOST = "template-post"
    /// V1's fields in a form-encoded body, as relays in the field send them.
    case formPOST = "form-post"
}

/// The defect of a callback that was made malformed on purpose. All of them are well-formed HTTP: a receiver that
/// answers anything but 2xx makes the vendor send them again.
package enum CallbackFlaw: String, Sendable, CaseIterable {
    /// The payload ends in the middle.
    case truncated
    /// A quote in the text is not escaped, as a template may do it.
    case unescapedQuote = "unescaped-quote"
    /// A byte that is not UTF-8.
    case invalidUTF8 = "invalid-utf8"
    /// JSON, but an array.
    case notAnObject = "not-an-object"
    /// Nothing in the query and nothing in the body.
    case empty
    /// Names that no documented shape has.
    case unknownShape = "unknown-shape"
    /// The date is no date.
    case badDate = "bad-date"
    /// The number is not a number.
    case badNumber = "bad-number"
}

/// One callback as the vendor would send it: everything of the HTTP request but the endpoint and its secret.
package struct SimulatedCallback: Sendable, Equatable {
    /// The methods that the vendor uses.
    package enum Method: String, Sendable {
        case get = "GET"
        case post = "POST"
    }

    /// Counts the callbacks of one generator from 1.
    package var number: UInt64
    package var method: Method
    /// The route, such as `/webhooks/reply`; it stands behind the endpoint's base path.
    package var path: String
    /// The query without its question mark, percent-encoded; empty when there is none.
    package var query: String
    /// The `Content-Type` to send; nil when there is no body.
    package var contentType: String?
    package var body: [UInt8]
    package var eventType: EventType
    package var generation: CallbackGeneration
    /// The subscriber's number in digits; also given for callbacks whose shape or flaw leaves it out.
    package var msisdn: String
    /// The customer's reference, unlike any other of this generator, by which a record can be traced to its callback.
    package var reference: String
    /// The text that the subscriber sent or was sent; nil for landing pages and shapes without a text.
    package var text: String?
    /// Whether the text is one of the vendor's opt-out phrases, in some spelling.
    package var isOptOut: Bool
    /// What was made wrong on purpose; nil for a well-formed callback.
    package var flaw: CallbackFlaw?
}
