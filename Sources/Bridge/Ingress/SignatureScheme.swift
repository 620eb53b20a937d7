/// How a caller signs. The vendor documents what is signed and leaves the rest open, so all of it can be set.
package struct SignatureScheme: Sendable {
    /// The header that carries the signature.
    package var headerName: String
    /// The header that carries the time; nil when it is in the signature's own header.
    package var timestampHeaderName: String?
    /// The format of the signature's header: `{signature}`, `{timestamp}`, and `{any}` for ignored parts.
    package var value = "{signature}"
    /// What is signed, of `{timestamp}`, `{method}`, `{url}` and `{body}`.
    package var signed = "v1:{timestamp}|{method}|{url}|{body}"
    /// What `{url}` is, of `{base}`, `{path}`, `{tail}` and `{query}`.
    package var url = "{base}{path}{query}"
    /// The public address of this service, as `{base}`.
    package var base = ""
    package var encoding = Encoding.auto
    package var unit = TimestampUnit.auto
    /// How far the time of a signature may be from now, before and after.
    package var window = Duration.seconds(300)

    /// How the signature is written.
    package enum Encoding: Sendable {
        /// 64 digits are hexadecimal, 43 or 44 characters Base64: no text is both.
        case auto, hex, base64
    }

    /// What the time counts, since 1970.
    package enum TimestampUnit: Sendable {
        /// Below 10^11, which as milliseconds was in 1973, seconds; else milliseconds.
        case auto, seconds, milliseconds
    }

    package init(headerName: String, timestampHeaderName: String? = nil) {
        self.headerName = headerName
        self.timestampHeaderName = timestampHeaderName
    }
}
