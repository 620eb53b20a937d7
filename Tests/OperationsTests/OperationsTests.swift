import FoundationEssentials
import SMSBridgeEventLoop
import SMSBridgeTelemetry
import SMSBridgeThreads
import Synchronization
import Testing

@testable import SMSBridgeOperations

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A private port with everything it tells of.
final class Subject {
    let registry = MetricRegistry()
    let readiness = ServiceReadiness()
    let heartbeat = Heartbeat(now: now())
    let server: OperationsServer
    let port: UInt16

    init(
        host: String = "127.0.0.1", bound: Duration = .seconds(60), title: String = "smsbridge 1.2.3",
        sampleInterval: Duration = .seconds(10)
    ) throws {
        var configuration = OperationsConfiguration()
        configuration.host = host
        configuration.port = 0
        configuration.livenessBound = bound
        configuration.instance.title = title
        configuration.sampleInterval = sampleInterval
        server = OperationsServer(
            configuration: configuration, registry: registry, readiness: readiness, heartbeat: heartbeat)
        port = try server.start()
    }

    deinit { server.stop() }

    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    struct Answer {
        var status: Int
        var headers: [String: String]
        var body: String
    }

    /// One request on a connection of its own, read to the end.
    func ask(_ method: String, _ path: String, body: String = "") throws -> Answer {
        let length = body.isEmpty ? "" : "Content-Length: \(body.utf8.count)\r\n"
        return try send("\(method) \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\(length)\r\n\(body)")
    }

    func send(_ text: String) throws -> Answer {
        let bytes = try Self.exchange(port, text)
        let raw = String(decoding: bytes, as: UTF8.self)
        let parts = raw.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
        var lines = parts[0].split(separator: "\r\n")
        let status = try #require(Int(lines.removeFirst().split(separator: " ")[1]))
        var headers: [String: String] = [:]
        for line in lines {
            let pair = line.split(separator: ":", maxSplits: 1)
            headers[pair[0].lowercased()] = pair[1].drop { $0 == " " }.description
        }
        return Answer(status: status, headers: headers, body: parts.count > 1 ? String(parts[1]) : "")
    }

    /// The history begins with its first sample; what is counted before it is no news.
    func waitForSample() throws {
        for _ in 0..<100 where try ask("GET", "/status").status != 200 { usleep(10_000) }
    }

    struct NotConnected: Error { var reason: String }

    static func connect(_ port: UInt16) throws -> Int32 {
        #if canImport(Glibc)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
        let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        try #require(descriptor >= 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, size) }
        }
        if connected != 0 { throw NotConnected(reason: String(cString: strerror(errno))) }
        return descriptor
    }

    static func exchange(_ port: UInt16, _ text: String) throws -> [UInt8] {
        let descriptor = try connect(port)
        defer { close(descriptor) }
        let request = Array(text.utf8)
        try #require(write(descriptor, request, request.count) == request.count)
        var answer: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            try #require(poll(&waiting, 1, 5_000) == 1, "no answer within 5 s")
            let got = read(descriptor, &block, block.count)
            if got <= 0 { return answer }
            answer.append(contentsOf: block[..<got])
        }
    }
}

@Suite struct OperationsTests {
    @Test func healthIsTheTurningOfThePublicLoop() throws {
        let subject = try Subject(bound: .seconds(2))
        let alive = try subject.ask("GET", "/healthz")
        #expect(alive.status == 200 && alive.body == "ok\n")
        #expect(alive.headers["content-type"] == "text/plain; charset=utf-8")
        #expect(alive.headers["cache-control"] == "no-store")
        subject.heartbeat.beat(Subject.now() - 3_000_000_000)
        let dead = try subject.ask("GET", "/healthz")
        #expect(dead.status == 503 && dead.body.hasPrefix("public event loop blocked for 3"))
        // A beat that is newer than the reader's clock is no reason to doubt.
        subject.heartbeat.beat(Subject.now() + 10_000_000_000)
        #expect(try subject.ask("GET", "/healthz").status == 200)
    }

    @Test func aLoopThatHangsIsToldOf() async throws {
        let subject = try Subject(bound: .seconds(1))
        let heartbeat = subject.heartbeat
        enum Order { case hang, end }
        final class Orders: Sendable {
            let mailbox = Mutex<Mailbox<Order>?>(nil)
            let isHanging = Atomic<Bool>(false)
        }
        let orders = Orders()
        let thread = try NamedThread("public") {
            do {
                let loop = try EventLoop()
                try heartbeat.follow(loop, interval: .milliseconds(20))
                let mailbox = try loop.makeMailbox(of: Order.self) { [unowned loop] batch in
                    if batch.contains(.end) { loop.stop() }
                    while orders.isHanging.load(ordering: .relaxed) { usleep(10_000) }
                }
                orders.mailbox.withLock { $0 = mailbox }
                loop.run()
                loop.destroy()
            } catch {
                Issue.record(error)
            }
        }
        // An idle loop beats too.
        try await Task.sleep(for: .milliseconds(1_500))
        #expect(try subject.ask("GET", "/healthz").status == 200)
        orders.isHanging.store(true, ordering: .relaxed)
        #expect(orders.mailbox.withLock { $0 }?.post(.hang) == true)
        try await Task.sleep(for: .milliseconds(1_500))
        #expect(try subject.ask("GET", "/healthz").status == 503)
        orders.isHanging.store(false, ordering: .relaxed)
        try await Task.sleep(for: .milliseconds(500))
        #expect(try subject.ask("GET", "/healthz").status == 200)
        #expect(orders.mailbox.withLock { $0 }?.post(.end) == true)
        thread.join()
    }

    /// However many connections are held, whatever they have sent, a probe is answered: else the supervisor ends a healthy
    /// process.
    @Test func heldConnectionsDoNotKeepAProbeOut() throws {
        let subject = try Subject()
        let halves = [
            "", "GET /healthz HTTP/1.1\r\n", "GET /status HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx",
        ]
        var held: [Int32] = []
        defer { for descriptor in held { close(descriptor) } }
        for number in 0..<300 {
            held.append(try Subject.connect(subject.port))
            let text = Array(halves[number % halves.count].utf8)
            _ = send(held[number], text, text.count, Int32(MSG_NOSIGNAL))
        }
        for path in ["/healthz", "/readyz", "/metrics", "/"] {
            let answer = try subject.ask("GET", path)
            #expect(answer.status == (path == "/readyz" ? 503 : 200), "\(path)")
            #expect(path != "/readyz" || answer.body.contains("starting"))
        }
    }

    @Test func readinessSaysWhyNot() throws {
        let subject = try Subject()
        subject.registry.gauge("smsbridge_kafka_up", help: "x").set(1)
        let starting = try subject.ask("GET", "/readyz")
        #expect(starting.status == 503)
        #expect(starting.headers["content-type"] == "application/json")
        #expect(starting.body == #"{"ready":false,"unmet":{"starting":"the bridge is starting"},"alerts":{}}"# + "\n")
        #expect(!subject.readiness.isReady)
        subject.readiness.set("starting", unmet: nil)
        subject.readiness.alert("kafka", "say \"no\"\n\\ é")
        let ready = try subject.ask("GET", "/readyz")
        #expect(ready.status == 200 && subject.readiness.isReady)
        #expect(
            ready.body == #"{"ready":true,"unmet":{},"alerts":{"SmsbridgeKafkaSlow":"Say \"no\"\u000a\\ é"}}"# + "\n")
        subject.readiness.set("b", unmet: "2")
        subject.readiness.set("a", unmet: "1")
        subject.readiness.alert("kafka", nil)
        subject.readiness.set("b", unmet: nil)
        #expect(subject.readiness.unmet.map(\.name) == ["a"])
        #expect(
            try subject.ask("GET", "/readyz").body
                == #"{"ready":false,"unmet":{"a":"1"},"alerts":{"SmsbridgeNotReady":"Not ready, callbacks are rejected with 503: 1"}}"#
                + "\n"
        )
    }

    /// Probe and page agree.
    @Test func readinessNamesTheAlertsOfThePage() throws {
        let subject = try Subject()
        subject.readiness.set("starting", unmet: nil)
        subject.readiness.alert("tls", "http.tls.key: it is no key")
        subject.registry.gauge("smsbridge_spool_max_bytes", help: "x").set(1_000_000)
        subject.registry.gauge("smsbridge_spool_disk_free_bytes", help: "x").set(1e6)
        let rejected = subject.registry.counter(
            "smsbridge_callbacks_rejected_total", help: "x", labels: [("status", "404"), ("secret", "valid")])
        try subject.waitForSample()
        rejected.increment(by: 3)
        let page = try subject.ask("GET", "/").body
        let readiness = try subject.ask("GET", "/readyz")
        let alerts = [
            "SmsbridgeKafkaDown", "SmsbridgeSpoolUnavailable", "SmsbridgeSpoolDiskLow",
            "SmsbridgeCertificateReloadFailed",
            "SmsbridgeCallbacksRejected", "SmsbridgeAllCallbacksRejected",
        ]
        for alert in alerts {
            #expect(page.contains(alert), "the page lacks \(alert)")
            #expect(readiness.body.contains("\"\(alert)\":\""), "/readyz lacks \(alert)")
        }
        #expect(page.ranges(of: /<code>Smsbridge/).count == alerts.count)
        #expect(readiness.body.ranges(of: /"Smsbridge/).count == alerts.count)
        #expect(readiness.status == 200)
    }

    @Test func metricsAreRenderedAtEveryRequest() throws {
        let subject = try Subject()
        let counter = subject.registry.counter("asked_total", help: "How often.")
        subject.registry.collect { counter.increment() }
        let first = try subject.ask("GET", "/metrics")
        #expect(first.status == 200)
        #expect(first.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
        #expect(first.body.hasPrefix("# HELP asked_total How often.\n# TYPE asked_total counter\nasked_total 1\n"))
        #expect(try subject.ask("GET", "/metrics?name=x").body.contains("\nasked_total 2\n"))
    }

    @Test func aScrapeTellsWhatHealthAndReadinessTell() throws {
        let subject = try Subject()
        subject.readiness.set("a", unmet: "1")
        subject.heartbeat.beat(Subject.now() - 3_000_000_000)
        func value(_ name: String) throws -> Double? {
            try subject.ask("GET", "/metrics").body.split(separator: "\n").first { $0.hasPrefix(name + " ") }?
                .split(separator: " ").last.flatMap { Double($0) }
        }
        #expect(try value("smsbridge_ready") == 0)
        #expect(try value("smsbridge_loop_stall_seconds") ?? 0 >= 3)
        for (name, _) in subject.readiness.unmet { subject.readiness.set(name, unmet: nil) }
        #expect(try value("smsbridge_ready") == 1)
    }

    @Test func headHasNoBody() throws {
        let subject = try Subject()
        _ = subject.registry.counter("x_total", help: "X.")
        for path in ["/", "/status", "/healthz", "/readyz", "/metrics"] {
            let get = try subject.ask("GET", path)
            let head = try subject.ask("HEAD", path)
            #expect(head.status == get.status && head.body.isEmpty && !get.body.isEmpty)
            #expect(head.headers["content-type"] == get.headers["content-type"])
            // The page, its machine form and the metrics tell the time, so their length is that of the moment.
            if ["/", "/status", "/metrics"].contains(path) { continue }
            #expect(head.headers["content-length"] == get.headers["content-length"])
        }
    }

    @Test func theIndexNamesThePaths() throws {
        let index = try Subject().ask("GET", "/")
        #expect(index.status == 200)
        for part in ["smsbridge 1.2.3", "/healthz", "/readyz", "/metrics", "/status"] {
            #expect(index.body.contains(part))
        }
    }

    @Test(arguments: ["/x", "/healthz/", "/metricsx", "/webhooks", "//", "/HEALTHZ", "/metrics/x", "/readyz%00"])
    func otherPathsAreNotFound(path: String) throws {
        #expect(try Subject().ask("GET", path).status == 404)
    }

    @Test(arguments: ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
    func otherMethodsAreNotAllowed(method: String) throws {
        let answer = try Subject().ask(method, "/healthz", body: method == "POST" ? "hello" : "")
        #expect(answer.status == 405)
        #expect(answer.headers["allow"] == "GET, HEAD")
    }

    @Test func aConnectionIsKept() throws {
        let subject = try Subject()
        let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        let bytes = try Subject.exchange(
            subject.port, get + get + "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.components(of: "HTTP/1.1 200 OK") == 2)
        #expect(text.components(of: "HTTP/1.1 503 ") == 1)
    }

    @Test func manyAskAtOnce() async throws {
        let subject = try Subject()
        subject.registry.addProcessMetrics()
        let port = subject.port
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<64 {
                group.addTask {
                    let bytes = try Subject.exchange(
                        port, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    let text = String(decoding: bytes, as: UTF8.self)
                    return text.hasPrefix("HTTP/1.1 200") && text.contains("\nprocess_cpu_seconds_total ")
                }
            }
            for try await isRight in group { #expect(isRight) }
        }
    }

    @Test func aPortThatIsTakenIsToldAndAStoppedOneIsFree() throws {
        let first = try Subject()
        #expect(try first.server.start() == first.port)
        var configuration = OperationsConfiguration()
        configuration.port = first.port
        let second = OperationsServer(
            configuration: configuration, registry: first.registry, readiness: first.readiness,
            heartbeat: first.heartbeat)
        let error = #expect(throws: OperationsError.self) { try second.start() }
        #expect(error?.description.contains("127.0.0.1:\(first.port)") == true, "\(String(describing: error))")
        first.server.stop()
        first.server.stop()
        #expect(try second.start() == first.port)
        second.stop()
        #expect(throws: Subject.NotConnected.self) { try first.ask("GET", "/healthz") }
        configuration.host = "256.256.256.256"
        let third = OperationsServer(
            configuration: configuration, registry: first.registry, readiness: first.readiness,
            heartbeat: first.heartbeat)
        #expect(throws: OperationsError.self) { try third.start() }
    }
}

extension String {
    func components(of part: String) -> Int { ranges(of: part).count }
}

@Suite struct DescriptorBudgetTests {
    @Test(arguments: [
        (limit: 64, wanted: 10_000, expected: 4), (limit: 200, wanted: 20, expected: 20),
        (limit: 255, wanted: 10_000, expected: 127),
        (limit: 256, wanted: 10_000, expected: 128), (limit: 1024, wanted: 10_000, expected: 896),
        (limit: 1_048_576, wanted: 10_000, expected: 10_000), (limit: .max, wanted: 10_000, expected: 10_000),
        (limit: 0, wanted: 10_000, expected: 4),
    ]) func connectionsGetWhatOthersCanSpare(limit: Int, wanted: Int, expected: Int) {
        let budget = DescriptorBudget(limit: limit, wanted: wanted)
        #expect(budget.publicConnections == expected)
        #expect(budget.surplusConnections >= 1)
        #expect(budget.privateConnections >= 1)
        let taken = budget.publicConnections + budget.surplusConnections + budget.privateConnections
        // Below 64 the least of each takes what there is.
        #expect(limit < 64 || limit - taken >= min(limit / 4 * 3, 96), "\(limit - taken) are left")
    }
}
