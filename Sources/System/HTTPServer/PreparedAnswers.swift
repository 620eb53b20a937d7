/// What the server itself answers.
struct PreparedAnswers {
    let goOn = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
    let surplus = Self.text(503, "connections", retryAfter: 1)
    let memory = Self.text(503, "memory", retryAfter: 1)
    let timeout = Self.text(408, "request-timeout")
    let plaintext = Self.text(400, "this port speaks TLS: use https")
    let serverOptions = PreparedResponse(status: 200)
    private let refusals: [RequestRule: PreparedResponse]

    init() {
        refusals = Dictionary(
            uniqueKeysWithValues: RequestRule.allCases.map { rule in
                (rule, Self.text(rule.status, "\(rule.rawValue): \(rule.section)"))
            })
    }

    func refusal(by rule: RequestRule) -> PreparedResponse {
        refusals[rule] ?? timeout
    }

    private static func text(_ status: Int, _ text: String, retryAfter seconds: Int? = nil) -> PreparedResponse {
        var headers = [("Content-Type", "text/plain")]
        if let seconds { headers.append(("Retry-After", "\(seconds)")) }
        return PreparedResponse(status: status, headers: headers, body: Array("\(text)\n".utf8))
    }
}
