import CSMSBridgeCurl

/// The receiver's address, taken apart once.
struct Endpoint: Sendable {
    /// Scheme, host, port and base path, without `/webhooks` and without a slash at the end.
    var base: String

    static func parse(_ url: String) -> Result<Endpoint, SimulatorError> {
        func problem(_ text: String) -> Result<Endpoint, SimulatorError> {
            .failure(SimulatorError(code: .configuration, problems: ["url: \(text)"]))
        }
        guard let handle = curl_url() else {
            return .failure(SimulatorError(code: .curl, problems: ["no memory for a URL"]))
        }
        defer { curl_url_cleanup(handle) }
        let code = curl_url_set(handle, CURLUPART_URL, url, 0)
        guard code == CURLUE_OK else { return problem("not a URL (\(String(cString: curl_url_strerror(code))))") }
        func part(_ what: CURLUPart) -> String? {
            var text: UnsafeMutablePointer<CChar>?
            guard curl_url_get(handle, what, &text, 0) == CURLUE_OK, let text else { return nil }
            defer { curl_free(text) }
            return String(cString: text)
        }
        guard let scheme = part(CURLUPART_SCHEME), scheme == "http" || scheme == "https" else {
            return problem("its scheme is neither http nor https")
        }
        guard let host = part(CURLUPART_HOST) else { return problem("no host") }
        guard part(CURLUPART_QUERY) == nil, part(CURLUPART_FRAGMENT) == nil else {
            return problem("a query or fragment has no place in it; a secret has an option of its own")
        }
        guard part(CURLUPART_USER) == nil, part(CURLUPART_PASSWORD) == nil else {
            return problem("a user has no place in it; the vendor sends none")
        }
        var path = part(CURLUPART_PATH) ?? "/"
        while path.hasSuffix("/") { path.removeLast() }
        if path.hasSuffix("/webhooks") { path.removeLast("/webhooks".count) }
        let port = part(CURLUPART_PORT).map { ":\($0)" } ?? ""
        return .success(Endpoint(base: "\(scheme)://\(host)\(port)\(path)"))
    }

    /// Path and query of a URL of this endpoint.
    func target(of url: String) -> Substring {
        let authority = url.firstRange(of: "://").map { url[$0.upperBound...] } ?? url[...]
        return authority.drop { $0 != "/" }
    }

    /// The whole URL of a callback, secrets included.
    func url(of callback: SimulatedCallback, _ authentication: SimulatorAuthentication) -> String {
        var url = base
        if let secret = authentication.pathSecret {
            // /webhooks/<secret>/<type>
            url += "/webhooks/\(secret)\(callback.path.dropFirst("/webhooks".count))"
        } else {
            url += callback.path
        }
        var separator = "?"
        if !callback.query.isEmpty {
            url += separator + callback.query
            separator = "&"
        }
        if let secret = authentication.querySecret { url += "\(separator)secret=\(WireText.form(secret))" }
        return url
    }
}
