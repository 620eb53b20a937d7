import Foundation
import Glibc
import SMSPortalSimulator
import Synchronization

/// A web server for these tests: POSIX sockets, a thread a connection, and a script that decides on every answer.
final class TinyServer: Sendable {
    struct Request: Sendable {
        /// Counts the requests of this server from 0.
        var index: Int
        var method: String
        var target: String
        var headers: [String: String]
        var body: [UInt8]
        var arrived: ContinuousClock.Instant
    }

    enum Action: Sendable {
        case answer(Int, [String: String] = [:], body: String = "True")
        /// Nothing is said, until the client leaves.
        case silence
        /// The connection ends without an answer.
        case close
        /// An answer that is shorter than it says.
        case cutShort
        /// Not HTTP.
        case nonsense
    }

    private struct State {
        var requests: [Request] = []
        var connections = 0
        var open: Set<Int32> = []
        var openMost = 0
        var isStopped = false
    }

    let port: UInt16
    private let listener: Int32
    private let state = Mutex(State())
    private let script: @Sendable (Request) -> Action

    init(_ script: @escaping @Sendable (Request) -> Action) throws {
        self.script = script
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port: UInt16? = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, length) == 0 && listen(listener, 128) == 0
                    && getsockname(listener, address, &length) == 0
            } ? UInt16(bigEndian: pointer.pointee.sin_port) : nil
        }
        guard let port else { throw POSIXError(.EADDRINUSE) }
        self.port = port
        self.listener = listener
        Thread.detachNewThread { self.accept() }
    }

    var url: String { "http://127.0.0.1:\(port)" }
    var requests: [Request] { state.withLock { $0.requests } }
    var connections: Int { state.withLock { $0.connections } }
    /// The most connections that were open at once.
    var openMost: Int { state.withLock { $0.openMost } }

    func stop() {
        state.withLock { state in
            state.isStopped = true
            for descriptor in state.open { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
        shutdown(listener, Int32(SHUT_RDWR))
    }

    private func accept() {
        while true {
            let descriptor = Glibc.accept(listener, nil, nil)
            let goesOn = state.withLock { state in
                guard descriptor >= 0, !state.isStopped else { return false }
                state.connections += 1
                state.open.insert(descriptor)
                state.openMost = max(state.openMost, state.open.count)
                return true
            }
            guard goesOn else {
                if descriptor >= 0 { close(descriptor) }
                close(listener)
                return
            }
            Thread.detachNewThread {
                self.serve(descriptor)
                self.state.withLock { state in
                    state.open.remove(descriptor)
                    close(descriptor)
                }
            }
        }
    }

    private func serve(_ descriptor: Int32) {
        var buffer: [UInt8] = []
        func more() -> Bool {
            var chunk = [UInt8](repeating: 0, count: 65536)
            let count = read(descriptor, &chunk, chunk.count)
            if count > 0 { buffer.append(contentsOf: chunk[..<count]) }
            return count > 0
        }
        func send(_ text: String) {
            let bytes = Array(text.utf8)
            var sent = 0
            while sent < bytes.count {
                let count = bytes[sent...].withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                if count <= 0 { return }
                sent += count
            }
        }
        while true {
            let end = Array("\r\n\r\n".utf8)
            var headEnd: Int?
            while headEnd == nil {
                headEnd = buffer.indices.first { buffer[$0...].starts(with: end) }
                if headEnd == nil, !more() { return }
            }
            guard let headEnd else { return }
            let lines = String(decoding: buffer[..<headEnd], as: UTF8.self).components(separatedBy: "\r\n")
            buffer.removeFirst(headEnd + 4)
            let parts = lines[0].split(separator: " ").map(String.init)
            var headers: [String: String] = [:]
            for line in lines.dropFirst() {
                let colon = line.firstIndex(of: ":")!
                headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(
                    in: .whitespaces)
            }
            let length = Int(headers["content-length"] ?? "0")!
            while buffer.count < length { if !more() { return } }
            let body = Array(buffer.prefix(length))
            buffer.removeFirst(length)
            let request = state.withLock { state in
                let request = Request(
                    index: state.requests.count, method: parts[0], target: parts[1], headers: headers, body: body,
                    arrived: .now)
                state.requests.append(request)
                return request
            }
            switch script(request) {
            case .answer(let status, let headers, let body):
                let lines = headers.map { "\($0): \($1)\r\n" }.joined()
                send("HTTP/1.1 \(status) Some\r\nContent-Length: \(body.utf8.count)\r\n\(lines)\r\n\(body)")
            case .silence:
                while more() {}
                return
            case .close:
                return
            case .cutShort:
                send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nTrue")
                return
            case .nonsense:
                send("I am not a web server\r\n\r\n")
                return
            }
        }
    }
}

/// Runs the simulator on a thread of its own, as it asks for.
func run(
    _ simulator: Simulator, progress: (@Sendable (SimulatorProgress) -> Void)? = nil,
    outcome: (@Sendable (SimulatedCallback, SimulatorOutcome, Int) -> Void)? = nil
) async -> SimulatorReport {
    await withCheckedContinuation { continuation in
        Thread.detachNewThread { continuation.resume(returning: simulator.run(progress: progress, outcome: outcome)) }
    }
}
