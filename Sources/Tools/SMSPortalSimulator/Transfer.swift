import CSMSBridgeCurl

/// One of the simulator's connections: an easy handle that is used for one attempt after the other.
final class Transfer {
    /// What is sent: a callback and how often it was sent before.
    struct Attempt {
        var callback: SimulatedCallback
        /// 1 for the first.
        var number: Int
        /// A callback that was received already.
        var isDuplicate = false
    }

    /// More of an answer than any receiver of callbacks has to say is not kept.
    private static let maxAnswer = 64 * 1024

    let easy: UnsafeMutableRawPointer
    var attempt: Attempt?
    private(set) var answer: [UInt8] = []
    /// Headers of the present attempt alone.
    private var ownHeaders: UnsafeMutablePointer<curl_slist>?

    /// - Parameter caFile: see ``SimulatorConfiguration/caFile``.
    /// - Throws: ``SimulatorError`` when libcurl has no memory or lacks an option.
    init(timeoutMilliseconds: Int, caFile: String?) throws(SimulatorError) {
        guard let easy = curl_easy_init() else {
            throw SimulatorError(code: .curl, problems: ["no memory for a connection"])
        }
        self.easy = easy
        var codes: [CURLcode] = []
        codes.append(shim_curl_set_string(easy, CURLOPT_PROTOCOLS_STR, "http,https"))
        codes.append(shim_curl_set_long(easy, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1)))
        codes.append(shim_curl_set_long(easy, CURLOPT_FOLLOWLOCATION, 0))
        codes.append(shim_curl_set_long(easy, CURLOPT_TIMEOUT_MS, timeoutMilliseconds))
        codes.append(shim_curl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, timeoutMilliseconds))
        if let caFile { codes.append(shim_curl_set_string(easy, CURLOPT_CAINFO, caFile)) }
        // Signals are the process's own business, and would not be safe on a thread.
        codes.append(shim_curl_set_long(easy, CURLOPT_NOSIGNAL, 1))
        // The receiver named in the URL, not whatever the environment's http_proxy says.
        codes.append(shim_curl_set_string(easy, CURLOPT_PROXY, ""))
        codes.append(shim_curl_set_string(easy, CURLOPT_USERAGENT, "smsbridge-simulator"))
        // The transfer outlives every call of it: both end with the run, the handle first.
        let context = Unmanaged.passUnretained(self).toOpaque()
        codes.append(
            shim_curl_set_receive(
                easy,
                { bytes, size, count, context in
                    guard let context, let bytes else { return 0 }
                    let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
                    transfer.receive(UnsafeRawBufferPointer(start: bytes, count: size * count))
                    return size * count
                }, context))
        if let code = codes.first(where: { $0 != CURLE_OK }) {
            throw SimulatorError(code: .curl, problems: [String(cString: curl_easy_strerror(code))])
        }
    }

    deinit {
        curl_easy_cleanup(easy)
        curl_slist_free_all(ownHeaders)
    }

    /// Sets the handle up for an attempt. The list of headers has to live until the attempt's end.
    ///
    /// - Parameter ownsHeaders: whether the list is freed here, once it is no longer needed.
    /// - Returns: whether libcurl took every value.
    func prepare(
        _ attempt: Attempt, url: String, headers: UnsafeMutablePointer<curl_slist>?, ownsHeaders: Bool = false
    ) -> Bool {
        self.attempt = attempt
        let before = ownHeaders
        ownHeaders = ownsHeaders ? headers : nil
        defer { curl_slist_free_all(before) }
        answer.removeAll(keepingCapacity: true)
        var good = shim_curl_set_string(easy, CURLOPT_URL, url) == CURLE_OK
        good = shim_curl_set_headers(easy, headers) == CURLE_OK && good
        switch attempt.callback.method {
        case .get:
            good = shim_curl_set_long(easy, CURLOPT_HTTPGET, 1) == CURLE_OK && good
        case .post:
            good = shim_curl_set_long(easy, CURLOPT_POST, 1) == CURLE_OK && good
            good =
                attempt.callback.body.withUnsafeBytes { body in
                    // The size first: the copy is made of so many bytes, zeros included.
                    shim_curl_set_off_t(easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count)) == CURLE_OK
                        && (body.isEmpty
                            ? shim_curl_set_string(easy, CURLOPT_COPYPOSTFIELDS, "")
                            : shim_curl_set_pointer(easy, CURLOPT_COPYPOSTFIELDS, body.baseAddress)) == CURLE_OK
                } && good
        }
        return good
    }

    private func receive(_ bytes: UnsafeRawBufferPointer) {
        answer.append(contentsOf: bytes.prefix(Self.maxAnswer - answer.count))
    }

    /// Whether the answer has the word that legacy forwarding looks for.
    var saysTrue: Bool {
        let word = Array("True".utf8)
        guard answer.count >= word.count else { return false }
        return (0...answer.count - word.count).contains { answer[$0..<$0 + word.count].elementsEqual(word) }
    }

    /// The status of the answer; 0 when there was none.
    var status: Int {
        var status = 0
        return shim_curl_get_long(easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK ? status : 0
    }

    /// From the start of the request to the end of its answer, in microseconds.
    var microseconds: UInt64 {
        var total: curl_off_t = 0
        return shim_curl_get_off_t(easy, CURLINFO_TOTAL_TIME_T, &total) == CURLE_OK ? UInt64(max(0, total)) : 0
    }
}
