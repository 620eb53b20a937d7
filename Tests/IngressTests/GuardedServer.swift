import SMSBridgeEventLoop
import SMSBridgeHTTPServer
import SMSBridgeTelemetry
import SMSBridgeThreads
import SMSPortalEvents
import Synchronization

@testable import SMSBridgeIngress
@testable import SMSBridgePublisher

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// An ingress behind the real HTTP server, on a loop and a thread of its own; whatever it lets in is durable at once.
final class GuardedServer: Sendable {
    /// What came of some bytes on a connection of their own.
    struct Outcome: Equatable {
        /// Of the answers, in their order.
        var statuses: [Int]
        /// The sources of the events that were published.
        var sources: [String]
    }

    let registry = MetricRegistry()
    private let port: UInt16
    private let replacements: Mailbox<Authenticator>
    private let ends: Mailbox<Void>
    private let thread: NamedThread
    private let records: Records

    private final class Records: Sendable {
        let all = Mutex<[(source: String, value: String)]>([])
        let log = Mutex<[String]>([])
    }

    private struct Started: Sendable {
        var port: UInt16
        var replacements: Mailbox<Authenticator>
        var ends: Mailbox<Void>
    }

    private final class Start: Sendable {
        let result = Mutex<Result<Started, any Error>?>(nil)
    }

    /// - Parameter accounts: their names, in the order of the configuration's.
    init(accounts: [String] = ["default"], _ adjust: (inout IngressConfiguration) -> Void) throws {
        var configuration = IngressConfiguration()
        adjust(&configuration)
        let records = Records()
        self.records = records
        let start = Start()
        let isThere = try StopSignal()
        let metrics = IngressMetrics(registry)
        thread = try NamedThread("guarded") { [configuration] in
            do {
                try Self.serve(configuration, accounts, metrics, records) { started in
                    start.result.withLock { $0 = .success(started) }
                    isThere.set()
                }
            } catch {
                start.result.withLock { $0 = .failure(error) }
                isThere.set()
            }
        }
        while !isThere.wait(milliseconds: -1) {}
        guard let started = try start.result.withLock({ $0 })?.get() else { throw Failure(description: "no result") }
        (port, replacements, ends) = (started.port, started.replacements, started.ends)
    }

    private static func serve(
        _ configuration: IngressConfiguration, _ accounts: [String], _ metrics: IngressMetrics, _ records: Records,
        onStart: (Started) -> Void
    ) throws {
        let loop = try EventLoop()
        defer { loop.destroy() }
        var ingress: Ingress?
        var server: HTTPServer?
        let made = Ingress(
            configuration: configuration, decoder: try CallbackDecoder(DecoderConfiguration(accounts: accounts)),
            metrics: metrics,
            logger: Logger(sink: LogSink(format: .json) { line in records.log.withLock { $0.append(line) } }),
            isReady: { true },
            publish: { record, token in
                var source = ""
                record.forEachHeader { if "\($0)" == "ce_source" { source = String(decoding: $1, as: UTF8.self) } }
                let value = record.withValue { String(decoding: $0, as: UTF8.self) }
                records.all.withLock { $0.append((source, value)) }
                ingress?.published(token, .durable)
            }, respond: { server?.respond(to: $0, with: $1) },
            requestID: { server?.requestID(of: $0) ?? "" })
        ingress = made
        var http = HTTPServerConfiguration()
        http.host = "127.0.0.1"
        let listening = HTTPServer(loop: loop, configuration: http, handler: made)
        server = listening
        let replacements = try loop.makeMailbox(of: Authenticator.self) { for new in $0 { made.replace(new) } }
        let ends = try loop.makeMailbox(of: Void.self) { _ in loop.stop() }
        onStart(Started(port: try listening.listen(), replacements: replacements, ends: ends))
        loop.run()
        made.logRejections(all: true)
        listening.close()
        // They hold each other.
        (ingress, server) = (nil, nil)
    }

    func stop() {
        ends.post(())
        thread.join()
    }

    func replace(_ authenticator: Authenticator) { replacements.post(authenticator) }

    /// Sends the bytes on a connection of their own, and nothing more.
    func send(_ bytes: [UInt8]) throws -> Outcome {
        let before = records.all.withLock(\.count)
        let answers = try exchange(bytes)
        let sources = records.all.withLock { $0[before...].map(\.source) }
        return Outcome(statuses: Self.statuses(answers), sources: sources)
    }

    /// What is logged so far, each line a JSON object.
    var logLines: [String] { records.log.withLock { $0 } }

    /// Sends the bytes on a connection of their own, and returns all that comes.
    func answers(_ bytes: [UInt8]) throws -> String { try exchange(bytes) }

    /// The values of all events so far.
    var values: [String] { records.all.withLock { $0.map(\.value) } }

    func metric(_ name: String) -> Int {
        for line in String(decoding: registry.render(), as: UTF8.self).split(separator: "\n")
        where line.hasPrefix(name + " ") {
            return Int(line.dropFirst(name.count + 1)) ?? -1
        }
        return -1
    }

    /// How often a proof was missing or wrong.
    func failures(_ proof: String) -> Int {
        metric("smsbridge_authentication_failures_total{proof=\"\(proof)\"}")
    }

    private static func statuses(_ answers: String) -> [Int] {
        answers.split(separator: "\r\n").flatMap { line in
            // An answer's body is `True` or nothing; the next answer follows it on its line.
            line.split(separator: "HTTP/1.1 ", omittingEmptySubsequences: false).dropFirst().compactMap {
                Int($0.prefix(3))
            }
        }.filter { $0 != 100 }
    }

    /// All that comes until the server's side ends.
    private func exchange(_ bytes: [UInt8]) throws -> String {
        #if canImport(Glibc)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
        let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        defer { close(descriptor) }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = port.bigEndian
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else { throw Failure(description: "connect: \(errno)") }
        var sent = 0
        while sent < bytes.count {
            #if os(Linux)
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            #else
            let count = bytes.withUnsafeBytes { Darwin.send(descriptor, $0.baseAddress! + sent, $0.count - sent, 0) }
            #endif
            if count <= 0 { break }
            sent += count
        }
        shutdown(descriptor, Int32(SHUT_WR))
        var all: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &block, block.count, 0)
            if count <= 0 { return String(decoding: all, as: UTF8.self) }
            all += block[..<count]
        }
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }
}

/// A request as bytes, with nothing added that is not asked for but `Host` and, with a body, its length.
struct RawRequest {
    var method = "POST"
    var target = "/webhooks/delivery-status"
    var version = "HTTP/1.1"
    var headers: [String] = []
    var body = RawRequest.callback
    /// Whether `Content-Length` is said.
    var saysLength = true

    static let callback = #"{"Status":"DELIVRD","EventId":1,"Msisdn":"27123456789","Received":1530013907}"#
    static let parameters = "ID=322004213&EventID=32433326&Phonenumber=27830123456&Status=DELIVRD"

    var bytes: [UInt8] {
        var lines = ["\(method) \(target) \(version)", "Host: bridge"] + headers
        if saysLength, !body.isEmpty { lines.append("Content-Length: \(body.utf8.count)") }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n" + body).utf8)
    }
}
