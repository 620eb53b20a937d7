/// Queries of callbacks that did not come through this ingress, such as those of an access log.
package enum QueryText {
    /// The query without its parameter `secret`, cut as it is from requests.
    package static func withoutSecret(_ query: [UInt8]) -> [UInt8] {
        var secret = QuerySecret()
        secret.scan(query.span.bytes)
        return secret.wasFound ? secret.remainder : query
    }
}
