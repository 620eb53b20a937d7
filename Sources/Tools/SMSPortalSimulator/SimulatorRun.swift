import CSMSBridgeCurl
import SMSBridgeThreads
import SMSPortalEvents

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One run of the simulator: everything that belongs to its thread.
final class SimulatorRun {
    private let configuration: SimulatorConfiguration
    private let endpoint: Endpoint
    private let progress: (@Sendable (SimulatorProgress) -> Void)?
    private let outcome: (@Sendable (SimulatedCallback, SimulatorOutcome, Int) -> Void)?

    private let multi: UnsafeMutableRawPointer
    /// By the easy handle, which is what libcurl tells.
    private var transfers: [UnsafeMutableRawPointer: Transfer] = [:]
    private var idle: [Transfer] = []
    /// By content type; "" means none. The lists live as long as the run.
    private var headers: [String: UnsafeMutablePointer<curl_slist>] = [:]

    private var generator: CallbackGenerator
    /// Decides on duplicates and their pauses, apart from the generator: its sequence is the seed's alone.
    private var random: SeededRandom
    private var waiting = WaitingAttempts()
    private var report = SimulatorReport()
    private let started = ContinuousClock.now

    init(
        _ configuration: SimulatorConfiguration, _ endpoint: Endpoint,
        progress: (@Sendable (SimulatorProgress) -> Void)?,
        outcome: (@Sendable (SimulatedCallback, SimulatorOutcome, Int) -> Void)?
    ) throws(SimulatorError) {
        self.configuration = configuration
        self.endpoint = endpoint
        self.progress = progress
        self.outcome = outcome
        generator = CallbackGenerator(
            seed: configuration.seed, types: configuration.types, generations: configuration.generations,
            subscribers: configuration.subscribers, malformed: configuration.malformed, tests: configuration.tests)
        random = SeededRandom(seed: ~configuration.seed)
        guard let multi = curl_multi_init() else {
            throw SimulatorError(code: .curl, problems: ["no memory for the connections"])
        }
        self.multi = multi
        let limits = [CURLMOPT_MAXCONNECTS, CURLMOPT_MAX_TOTAL_CONNECTIONS]
        for limit in limits {
            let code = shim_curl_multi_set_long(multi, limit, configuration.clients)
            guard code == CURLM_OK else { throw Self.error(code) }
        }
    }

    deinit {
        // The easy handles before the multi handle whose connections they use, and the lists after both.
        for transfer in transfers.values where transfer.attempt != nil {
            _ = curl_multi_remove_handle(multi, transfer.easy)
        }
        idle = []
        transfers = [:]
        _ = curl_multi_cleanup(multi)
        for list in headers.values { curl_slist_free_all(list) }
    }

    /// The multi handle's address, for the one call that another thread may make.
    var address: UInt { UInt(bitPattern: multi) }

    /// The figures, once the loop is over. What has no end yet is abandoned.
    func end() -> SimulatorReport {
        for transfer in transfers.values {
            if let attempt = transfer.attempt { abandon(attempt) }
        }
        for attempt in waiting.removeAll() { abandon(attempt) }
        report.elapsed = ContinuousClock.now - started
        tellProgress(inFlight: 0)
        return report
    }

    // MARK: - The loop

    /// Runs until everything has its end or `isStopped` says so.
    func loop(until isStopped: () -> Bool) {
        let durationEnd = configuration.duration?.nanoseconds
        let progressInterval = configuration.progressInterval.nanoseconds
        var nextProgress = progress == nil ? UInt64.max : progressInterval
        var graceEnd: UInt64?
        while true {
            var now = elapsed()
            if graceEnd == nil, isStopped() { graceEnd = now + configuration.stopGrace.nanoseconds }
            let isMaking =
                graceEnd == nil && report.sent < configuration.count ?? .max && now < durationEnd ?? .max
            if graceEnd == nil { launch(at: now, isMaking: isMaking) }
            let inFlight = transfers.count - idle.count
            if let graceEnd, inFlight == 0 || now >= graceEnd { return }
            if inFlight == 0, waiting.count == 0, !isMaking { return }

            var running: Int32 = 0
            var code = curl_multi_perform(multi, &running)
            guard code == CURLM_OK else { return fail(code) }
            if finishTransfers() { continue }

            now = elapsed()
            if now >= nextProgress {
                tellProgress(inFlight: inFlight)
                nextProgress = now + progressInterval
            }
            // Sleeps until a socket is ready, libcurl's own next timer, the next thing to do here, or stop().
            var wake = min(nextProgress, graceEnd ?? .max)
            if graceEnd == nil, hasRoom { wake = min(wake, waiting.next ?? .max) }
            if isMaking {
                wake = min(wake, durationEnd ?? .max)
                if hasRoom, waiting.count < configuration.maxWaiting { wake = min(wake, nextNew) }
            }
            let pause = wake <= now ? 0 : (min(wake - now, 60_000_000_000) + 999_999) / 1_000_000
            code = curl_multi_poll(multi, nil, 0, Int32(pause), nil)
            guard code == CURLM_OK else { return fail(code) }
        }
    }

    /// When the next new callback is due, in nanoseconds since the start.
    private var nextNew: UInt64 {
        configuration.rate == 0 ? 0 : UInt64(Double(report.sent) / configuration.rate * 1e9)
    }

    private var hasRoom: Bool { !idle.isEmpty || transfers.count < configuration.clients }

    /// Starts whatever is due, as far as there are connections: those that wait first.
    private func launch(at now: UInt64, isMaking: Bool) {
        while hasRoom {
            if let attempt = waiting.take(dueBy: now) {
                start(attempt)
            } else if isMaking, report.sent < configuration.count ?? .max, waiting.count < configuration.maxWaiting,
                nextNew <= now
            {
                generator.clock = Int64(time(nil))
                let callback = generator.next()
                report.sent += 1
                if callback.flaw != nil { report.malformed += 1 }
                start(Transfer.Attempt(callback: callback, number: 1))
            } else {
                return
            }
        }
    }

    private func start(_ attempt: Transfer.Attempt) {
        report.requests += 1
        if attempt.isDuplicate {
            report.duplicates += 1
        } else if attempt.number > 1 {
            report.retried += 1
        }
        let url = endpoint.url(of: attempt.callback, configuration.authentication)
        guard let transfer = takeTransfer() else {
            // No memory for another handle: an attempt that failed, not a simulator that stops.
            return failed(attempt, .other, status: 0)
        }
        let isSigned = configuration.authentication.signature != nil
        guard
            let headers = isSigned
                ? signedHeaders(of: attempt.callback, url) : headers(for: attempt.callback.contentType),
            transfer.prepare(attempt, url: url, headers: headers, ownsHeaders: isSigned),
            curl_multi_add_handle(multi, transfer.easy) == CURLM_OK
        else {
            transfer.attempt = nil
            idle.append(transfer)
            return failed(attempt, .other, status: 0)
        }
    }

    private func takeTransfer() -> Transfer? {
        if let transfer = idle.popLast() { return transfer }
        let milliseconds = Int(configuration.timeout.nanoseconds / 1_000_000)
        guard let transfer = try? Transfer(timeoutMilliseconds: milliseconds, caFile: configuration.caFile) else {
            return nil
        }
        transfers[transfer.easy] = transfer
        return transfer
    }

    /// The headers of a request with this content type, the secret's included.
    private func headers(for contentType: String?) -> UnsafeMutablePointer<curl_slist>? {
        if let list = headers[contentType ?? ""] { return list }
        let list = Self.list(lines(for: contentType))
        headers[contentType ?? ""] = list
        return list
    }

    /// The headers of one request alone.
    private func signedHeaders(of callback: SimulatedCallback, _ url: String) -> UnsafeMutablePointer<curl_slist>? {
        let signed =
            configuration.authentication.signature?.headers(
                method: callback.method.rawValue, basePath: endpoint.target(of: endpoint.base),
                target: endpoint.target(of: url), body: callback.body,
                at: Self.milliseconds) ?? []
        return Self.list(lines(for: callback.contentType) + signed)
    }

    private func lines(for contentType: String?) -> [String] {
        // A name with nothing behind the colon leaves the header out that libcurl would make.
        var lines = ["Content-Type:" + (contentType.map { " \($0)" } ?? ""), "Expect:"]
        if let secret = configuration.authentication.headerSecret {
            lines.append("\(configuration.authentication.headerName): \(secret)")
        }
        return lines
    }

    private static func list(_ lines: [String]) -> UnsafeMutablePointer<curl_slist>? {
        var list: UnsafeMutablePointer<curl_slist>?
        for line in lines {
            guard let longer = curl_slist_append(list, line) else {
                curl_slist_free_all(list)
                return nil
            }
            list = longer
        }
        return list
    }

    // MARK: - Answers

    /// Judges every transfer that is done; true when there was one, so that its connection is used at once.
    private func finishTransfers() -> Bool {
        var any = false
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE else { continue }
            guard let easy = message.pointee.easy_handle, let transfer = transfers[easy] else { continue }
            // The message is gone once the handle is removed.
            let result = shim_curl_message_result(message)
            _ = curl_multi_remove_handle(multi, transfer.easy)
            any = true
            guard let attempt = transfer.attempt else { continue }
            transfer.attempt = nil
            judge(attempt, result, transfer)
            idle.append(transfer)
        }
        return any
    }

    private func judge(_ attempt: Transfer.Attempt, _ result: CURLcode, _ transfer: Transfer) {
        guard result == CURLE_OK else {
            let reason: SimulatorFailure =
                switch result {
                case CURLE_OPERATION_TIMEDOUT: .timeout
                case CURLE_COULDNT_CONNECT, CURLE_COULDNT_RESOLVE_HOST: .connect
                case CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE, CURLE_RECV_ERROR, CURLE_SEND_ERROR: .closed
                case CURLE_PEER_FAILED_VERIFICATION: .certificate
                case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CACERT_BADFILE: .tls
                default: .other
                }
            return failed(attempt, reason, status: 0)
        }
        let status = transfer.status
        report.byStatus[status, default: 0] += 1
        report.latency.record(transfer.microseconds)
        if attempt.callback.generation == .legacyGET, !transfer.saysTrue {
            guard !attempt.isDuplicate else { return }
            report.refusedForGood += 1
            outcome?(attempt.callback, .refusedForGood, status)
        } else if (200..<300).contains(status) {
            guard !attempt.isDuplicate else { return }
            report.accepted += 1
            outcome?(attempt.callback, .accepted, status)
            if random.chance(configuration.duplicates) {
                let pause = UInt64.random(in: 0...500_000_000, using: &random)
                waiting.insert(.init(callback: attempt.callback, number: 1, isDuplicate: true), at: elapsed() + pause)
            }
        } else {
            failed(attempt, nil, status: status)
        }
    }

    /// An attempt that was not received: another one later, or the end.
    private func failed(_ attempt: Transfer.Attempt, _ reason: SimulatorFailure?, status: Int) {
        if let reason { report.failures[reason, default: 0] += 1 }
        if attempt.isDuplicate { return }
        guard attempt.number < configuration.attempts else {
            report.givenUp += 1
            outcome?(attempt.callback, .givenUp, status)
            return
        }
        // Doubled each time, and never beyond a day.
        let doublings = min(attempt.number - 1, 40)
        let pause = min(Double(configuration.backoff.nanoseconds) * Double(1 << doublings), 86_400e9)
        var next = attempt
        next.number += 1
        waiting.insert(next, at: elapsed() + UInt64(pause))
    }

    private func abandon(_ attempt: Transfer.Attempt) {
        if attempt.isDuplicate { return }
        report.abandoned += 1
        outcome?(attempt.callback, .abandoned, 0)
    }

    // MARK: - Small things

    /// Since 1970.
    private static var milliseconds: Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1_000 + Int64(now.tv_nsec) / 1_000_000
    }

    private func fail(_ code: CURLMcode) { report.failure = Self.error(code) }

    private static func error(_ code: CURLMcode) -> SimulatorError {
        SimulatorError(code: .curl, problems: [String(cString: curl_multi_strerror(code))])
    }

    private func tellProgress(inFlight: Int) {
        progress?(
            SimulatorProgress(
                elapsed: ContinuousClock.now - started, sent: report.sent, accepted: report.accepted,
                retried: report.retried, lost: report.givenUp + report.refusedForGood, inFlight: inFlight,
                waiting: waiting.count))
    }

    /// Nanoseconds since the start.
    private func elapsed() -> UInt64 { (ContinuousClock.now - started).nanoseconds }
}
