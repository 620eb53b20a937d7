internal import CSMSBridgeSystem
internal import SMSBridgeThreads
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Answers the questions of other processes about an open spool, on a thread of its own: one question at a time, so
/// that the writer has at most one to answer between two batches.
final class SpoolServer: Sendable {
    /// Puts a question to the writer; the answer comes on the writer's thread, or never when it ends.
    typealias Ask =
        @Sendable (SpoolProtocol.Question, _ reply: @escaping @Sendable (SpoolProtocol.Answer) -> Void) -> Void

    private let folder: String
    private let listener: Int32
    private let ask: Ask
    private let isStopping = Atomic<Bool>(false)
    private let thread = Mutex<NamedThread?>(nil)
    /// The connection that is being served; -1 for none.
    private let current = Mutex<Int32>(-1)

    /// How long a client may take to send its request, or to read the next part of a response, in seconds.
    private static let patience = 5

    /// Listens in the folder, whose lock the caller holds.
    init(folder: String, ask: @escaping Ask) throws(SpoolError) {
        self.folder = folder
        self.ask = ask
        let listener = try UnixSocket.listener(in: folder, name: SpoolProtocol.socketName)
        self.listener = listener
        do {
            let started = try NamedThread("spool-socket") { [self] in run() }
            thread.withLock { $0 = started }
        } catch {
            close(listener)
            throw SpoolError(.io, "\(error)")
        }
    }

    /// Ends it, and the conversation that is going on. Blocks for a moment.
    func stop() {
        isStopping.store(true, ordering: .releasing)
        current.withLock { if $0 >= 0 { shutdown($0, Int32(SHUT_RDWR)) } }
        thread.withLock { $0 }?.join()
        unlink(folder + "/" + SpoolProtocol.socketName)
        close(listener)
    }

    private func run() {
        while !isStopping.load(ordering: .acquiring) {
            var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, Self.slice) > 0 else { continue }
            let peer = accept(listener, nil, nil)
            guard peer >= 0 else {
                // Without descriptors the one that waits stays: not in a circle.
                usleep(UInt32(Self.slice) * 1_000)
                continue
            }
            current.withLock { $0 = peer }
            serve(peer)
            current.withLock {
                close(peer)
                $0 = -1
            }
        }
    }

    /// How often it is looked whether this is to end, in milliseconds.
    private static let slice: Int32 = 100

    private func serve(_ peer: Int32) {
        _ = fcntl(peer, F_SETFD, FD_CLOEXEC)
        UnixSocket.setTimeout(peer, seconds: 1)
        // The file's mode keeps others out already; this holds also where the mode was changed. Root may read the
        // spool's file in any case.
        let user = csystem_peer_user(peer)
        guard user == Int(geteuid()) || user == 0 else {
            return answer(.failure(SpoolError(.directory, "only the bridge's own user and root may ask")), to: peer)
        }
        guard let line = question(of: peer) else { return }
        switch SpoolProtocol.question(line) {
        case .failure(let error): answer(.failure(error), to: peer)
        case .success(let question): if let result = result(of: question) { answer(result, to: peer) }
        }
    }

    private func question(of peer: Int32) -> String? {
        var bytes: [UInt8] = []
        var idleSeconds = 0
        while bytes.count <= SpoolProtocol.maxQuestion, !isStopping.load(ordering: .acquiring) {
            var block = [UInt8](repeating: 0, count: SpoolProtocol.maxQuestion)
            let count = recv(peer, &block, block.count, 0)
            if count < 0, errno == EAGAIN, idleSeconds < Self.patience {
                idleSeconds += 1
                continue
            }
            guard count > 0 else { return nil }
            bytes += block[..<count]
            if let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
                return String(decoding: bytes[..<end], as: UTF8.self)
            }
        }
        return nil
    }

    private func result(of question: SpoolProtocol.Question) -> SpoolProtocol.Answer? {
        guard let box = try? Box() else { return .failure(SpoolError(.io, "no descriptors left")) }
        ask(question) { box.put($0) }
        while !isStopping.load(ordering: .acquiring) {
            if let answer = box.wait(milliseconds: Self.slice) { return answer }
        }
        return nil
    }

    private func answer(_ answer: SpoolProtocol.Answer, to peer: Int32) {
        UnixSocket.setTimeout(peer, seconds: Self.patience)
        _ = UnixSocket.send(SpoolProtocol.bytes(answer), to: peer)
    }

    /// One answer on its way from the writer's thread.
    private final class Box: Sendable {
        private let answer = Mutex<SpoolProtocol.Answer?>(nil)
        private let bell: Doorbell

        init() throws(ThreadError) { bell = try Doorbell() }

        func put(_ value: SpoolProtocol.Answer) {
            answer.withLock { $0 = value }
            bell.ring()
        }

        func wait(milliseconds: Int32) -> SpoolProtocol.Answer? {
            bell.wait(milliseconds: milliseconds)
            return answer.withLock { $0 }
        }
    }
}
