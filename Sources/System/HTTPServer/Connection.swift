internal import SMSBridgeAddresses
import SMSBridgeEventLoop

/// One client's connection: reads requests one after another, and has each answered before the next.
///
/// Its life is a line: `opening` where something stands before the first request, `receiving` and `answering` in turn, `flushing` while an answer waits for the client to take
/// it, then, once the last answer is out, `draining`, and `closed`.
final class Connection {
    private enum Phase {
        /// A PROXY header or a TLS handshake is not whole.
        case opening
        /// Between requests, or within one that is not whole.
        case receiving
        /// The handler owes an answer.
        case answering
        /// An answer is given and not out yet.
        case flushing
        /// Everything is said and the sending side closed; what still comes is thrown away.
        case draining
        case closed
    }

    // Unchecked, here and below: on the loop's thread, by accesses that contain no call of anything but the value's own methods,
    // none of which knows the connection.

    /// Held until the connection closes; the server holds its connections as long.
    private let server: HTTPServer
    @exclusivity(unchecked) private var transport: Transport
    /// The address of the client; behind the PROXY protocol, that of its header.
    @exclusivity(unchecked) private var peer: PeerAddress
    /// Accepted beyond `maxConnections`: it gets 503 and is closed.
    let isSurplus: Bool
    @exclusivity(unchecked) private(set) var exchange: Exchange
    @exclusivity(unchecked) private var watch: DescriptorWatch?
    /// What is watched for.
    @exclusivity(unchecked) private var interest = Readiness.readable
    @exclusivity(unchecked) private var phase = Phase.receiving

    /// Bytes that no request has used up yet; nil between requests, which is what most connections are.
    @exclusivity(unchecked) private var pending: RequestBuffer?
    /// What the handler made of the present request's head.
    @exclusivity(unchecked) private var verdict: HeadVerdict?
    /// Bytes that the client has not taken yet, from `sent` on.
    @exclusivity(unchecked) private var output: [UInt8] = []
    @exclusivity(unchecked) private var hasOutput = false
    private var sent = 0

    /// The present request allows a further one.
    @exclusivity(unchecked) private var keepAlive = true
    @exclusivity(unchecked) private var isHead = false
    /// The present request is not for the handler: `OPTIONS *`.
    private var isForServer = false
    private var isHTTP10 = false
    /// The answer being sent is the last.
    @exclusivity(unchecked) private var isLast = false
    /// The client sends no more.
    private var hasEnded = false
    /// Within `advance`, which goes on by itself when an answer is given at once.
    @exclusivity(unchecked) private var isAdvancing = false
    /// The handler has the present request and owes its answer.
    @exclusivity(unchecked) private(set) var isOwed = false
    private var isReadingPaused = false
    /// It will read on at the end of the turn.
    private var isReadingOn = false
    /// A step of the handshake waits for its turn.
    private var isQueued = false
    /// What has come of a PROXY header.
    private var proxyHeader: [UInt8] = []
    private var drained = 0

    /// When the present state has lasted too long, in the loop's time; `UInt64.max` when it may last.
    @exclusivity(unchecked) private(set) var deadline = UInt64.max
    /// What the deadline is of.
    @exclusivity(unchecked) private var awaits = Awaited.head
    /// The one entry of this connection in the server's ring that counts.
    @exclusivity(unchecked) var ringDeadline: UInt64?

    private enum Awaited {
        /// The whole PROXY header.
        case proxyHeader
        /// The end of the TLS handshake.
        case handshake
        /// The whole head, from the accept or its first byte on.
        case head
        /// The whole body.
        case body
        /// The first byte of another request.
        case request
        /// The client to take the answer.
        case flush
        /// The client to close.
        case drain
    }

    init(server: HTTPServer, transport: Transport, peer: PeerAddress, exchange: Exchange, isSurplus: Bool) {
        self.server = server
        self.transport = transport
        self.peer = peer
        self.exchange = exchange
        self.isSurplus = isSurplus
    }

    /// Whether it is between two requests.
    var isIdle: Bool { phase == .opening || (phase == .receiving && pending == nil && !isAdvancing) }
    /// Whether a TLS handshake is awaited or under way.
    var isShakingHands: Bool { phase == .opening && awaits == .handshake }
    var isClosed: Bool { phase == .closed }
    /// Whether it is the client's turn to send or to read.
    var waitsForItsClient: Bool { phase != .answering && phase != .closed }
    /// Since when, in the loop's time.
    @exclusivity(unchecked) private(set) var waitsSince: UInt64 = 0

    /// Begins to serve.
    func open() throws(EventLoopError) {
        watch = try server.loop.watch(descriptor: transport.descriptor, for: .readable) { [self] ready in
            // The watch holds the connection until it is cancelled.
            becameReady(ready)
        }
        if server.needsOpening {
            phase = .opening
            beginOpening()
            return
        }
        setDeadline(.head, server.headTimeout)
        if isSurplus { reject(.connections, nil, server.prepared.surplus) }
    }

    // MARK: Readiness

    private func becameReady(_ ready: Readiness) {
        if ready.contains(.writable) { becameWritable() }
        let bytesRead = server.tally.bytesRead
        if ready.contains(.readable) { becameReadable() } else if ready.contains(.hungUp) { wasLost() }
        if ready.contains(.failed) {
            interest = .none
            // What came before the loss is read first, a piece each time; then there is nothing to wait for.
            if server.tally.bytesRead > bytesRead { updateInterest() } else { wasLost() }
        }
    }

    private func becameWritable() {
        if hasOutput {
            flush()
        } else if phase == .opening || transport.waitsToWrite {
            becameReadable()
            if phase != .opening { updateInterest() }
        }
    }

    private func becameReadable() {
        switch phase {
        case .opening: goOnOpening()
        case .receiving: receive()
        case .answering, .flushing: receiveAhead()
        case .draining: drain()
        case .closed: break
        }
        if transport.session != nil { lookForBuffered() }
    }

    /// Reads on at the end of this turn if there is something of which the socket does not tell.
    private func lookForBuffered() {
        guard !isReadingOn, phase == .receiving || interest.contains(.readable), transport.hasBuffered else { return }
        isReadingOn = true
        server.readOnSoon(self)
    }

    /// Reads what OpenSSL had read before.
    func readOn() {
        isReadingOn = false
        if phase == .receiving || phase == .answering || phase == .flushing { becameReadable() }
    }

    /// Reads what is there of a request.
    private func receive() {
        let buffer: RequestBuffer
        if let pending {
            guard makeRoom(in: pending) else { return }
            buffer = pending
        } else {
            buffer = server.shared
        }
        switch read(into: buffer) {
        case .moved:
            if awaits == .request { server.ceasedToBeIdle(self) }
            advance(buffer)
        case .wouldBlock: break
        case .ended, .lost: wasLost()
        }
    }

    /// Reads ahead while an answer is pending, up to a bound, to notice when the client disconnects.
    private func receiveAhead() {
        let limit = server.configuration.maxPipelinedBytes
        let buffer: RequestBuffer
        if let pending {
            guard pending.count < limit else {
                updateInterest()
                return
            }
            if pending.free == 0 {
                pending.compact()
                if pending.free == 0, !grow(pending, to: min(pending.capacity * 2, max(limit, pending.count + 1))) {
                    // No memory to read ahead: it waits in the kernel's buffers.
                    isReadingPaused = true
                    updateInterest()
                    return
                }
            }
            buffer = pending
        } else {
            buffer = server.shared
        }
        switch read(into: buffer) {
        case .moved:
            keep(buffer)
            updateInterest()
        case .wouldBlock: break
        case .ended:
            hasEnded = true
            updateInterest()
        case .lost:
            wasLost()
        }
    }

    private func read(into buffer: RequestBuffer) -> Transport.Outcome {
        let outcome = transport.read(into: buffer.tail)
        if case .moved(let count) = outcome {
            buffer.added(count)
            server.tally.bytesRead += UInt64(count)
        } else if transport.waitsToWrite {
            updateInterest()
        }
        return outcome
    }

    /// Makes room to read into; answers 503 when all unfinished requests together take too much.
    private func makeRoom(in buffer: RequestBuffer) -> Bool {
        guard buffer.free == 0 else { return true }
        buffer.compact()
        if buffer.free > 0 || grow(buffer, to: buffer.capacity * 2) { return true }
        refuseForMemory()
        return false
    }

    private func grow(_ buffer: RequestBuffer, to capacity: Int) -> Bool {
        guard capacity > buffer.capacity, server.takeUnfinished(capacity - buffer.capacity) else { return false }
        buffer.grow(to: capacity)
        return true
    }

    private func refuseForMemory() {
        server.tally.refusedForMemory += 1
        reject(.memory, pending, server.prepared.memory)
    }

    /// Answers with an error of the server's own, after which the connection ends, and tells the handler.
    ///
    /// - Parameter buffer: what holds the bytes of the request that have come.
    private func reject(_ rejection: ServerRejection, _ buffer: RequestBuffer?, _ response: PreparedResponse) {
        if let buffer {
            buffer.withBytes { server.handler.rejected(rejection, bytes: $0, from: peer, exchange: exchange) }
        } else {
            server.handler.rejected(rejection, bytes: RawSpan(), from: peer, exchange: exchange)
        }
        sendOwn(response, keepAlive: false)
    }

    // MARK: Before the first request

    private func beginOpening() {
        guard let sources = server.configuration.proxyProtocolSources else { return beginHandshake() }
        guard sources.contain(peer) else {
            server.tally.proxyHeadersUntrusted += 1
            close()
            return
        }
        setDeadline(.proxyHeader, server.headTimeout)
    }

    private func goOnOpening() {
        guard awaits == .handshake else { return readProxyHeader() }
        guard !isQueued else { return }
        isQueued = true
        server.queueHandshake(self)
    }

    /// Takes the header and not a byte behind it, which is the handshake's or a request's: it looks first, and then takes
    /// what belongs to the header.
    private func readProxyHeader() {
        let room = UnsafeMutableRawBufferPointer(rebasing: server.shared.tail.prefix(ProxyHeader.maxBinaryBytes))
        let count: Int
        switch transport.readPlain(into: room, leaves: true) {
        case .moved(let there): count = there
        case .wouldBlock: return
        case .ended, .lost: return close()
        }
        let known = proxyHeader.count
        proxyHeader += room[..<count]
        let verdict = proxyHeader.withUnsafeBytes { ProxyHeader.read($0.bytes) }
        var taken = count
        if case .header(let length, _) = verdict { taken = length - known }
        _ = transport.readPlain(into: UnsafeMutableRawBufferPointer(rebasing: room[..<taken]))
        server.tally.bytesRead += UInt64(taken)
        switch verdict {
        case .needMore: return
        case .malformed:
            server.tally.proxyHeadersMalformed += 1
            close()
        case .header(_, let source):
            proxyHeader = []
            if let source { peer = source }
            beginHandshake()
        }
    }

    private func beginHandshake() {
        guard server.tls != nil else { return beginServing() }
        setDeadline(.handshake, server.handshakeTimeout)
        server.beganHandshake(self)
    }

    /// One step of the handshake, in the order in which the server grants them.
    func shakeHands() {
        isQueued = false
        guard isShakingHands else { return }
        if transport.session == nil {
            // Only now: who connects and sends nothing costs no more than on a plain port.
            guard let context = server.tls,
                let session = TLSSession(context, descriptor: transport.descriptor)
            else {
                close()
                return
            }
            transport.session = session
        }
        guard let session = transport.session else { return }
        switch session.shakeHands() {
        case .wouldBlock:
            let interest: Readiness = session.waitsToWrite ? .writable : .readable
            guard interest != self.interest else { return }
            self.interest = interest
            do throws(EventLoopError) { try watch?.watch(for: interest) } catch { close() }
        case .failed(let failure): failHandshake(failure)
        case .done:
            server.tally.handshakes += 1
            if server.tls?.asksClients == true, session.hasClientCertificate { server.tally.clientCertificates += 1 }
            server.endedHandshake()
            beginServing()
            updateInterest()
            lookForBuffered()
        }
    }

    private func failHandshake(_ failure: TLSFailure) {
        server.tally.note(failure)
        transport.session = nil
        guard failure != .cutOff else {
            close()
            return
        }
        server.endedHandshake()
        // A client that sends plain HTTP to the TLS port gets an HTTP answer, 400.
        if failure == .plaintext {
            server.handler.rejected(.plaintext, bytes: RawSpan(), from: peer, exchange: exchange)
            server.assemble(
                server.prepared.plaintext, to: exchange, isLast: true, isHead: false, saysKeepAlive: false
            ) {
                _ = transport.writePlain($0)
            }
        }
        // So that the alert is read: closing at once would reset the connection.
        finish()
    }

    /// Ended for the sake of others that answer in time.
    func giveUpHandshake() {
        server.tally.note(.overload)
        close()
    }

    /// Whether it is the client's turn in the handshake, or the client is gone.
    var waitsForClient: Bool { !isQueued }

    private func beginServing() {
        phase = .receiving
        setDeadline(.head, server.headTimeout)
    }

    // MARK: Requests

    /// Serves what is whole in the buffer, and keeps the rest.
    private func advance(_ buffer: RequestBuffer) {
        isAdvancing = true
        server.isServing = true
        advancing: while phase == .receiving {
            switch buffer.next() {
            case .needMore:
                if case .refuse(let response) = verdict {
                    // The rest of a refused request's body is not waited for.
                    verdict = nil
                    send(response, keepAlive: false)
                }
                break advancing
            case .head:
                readHead(buffer)
            case .end:
                finishRequest(buffer)
            case .refused(let rule):
                if case .refuse(let response) = verdict {
                    verdict = nil
                    send(response, keepAlive: false)
                } else {
                    server.countRefusal(by: rule)
                    isHead = buffer.isHead
                    reject(.rule(rule), buffer, server.prepared.refusal(by: rule))
                }
            case .body: break
            }
        }
        server.isServing = false
        isAdvancing = false
        keep(buffer)
        if phase == .receiving {
            awaitMore()
            noteIdleness()
        }
        if phase == .answering || phase == .flushing { updateInterest() }
    }

    private func readHead(_ buffer: RequestBuffer) {
        var expectsContinue = false
        buffer.withRequest { head, bytes, _ in
            keepAlive = head.keepAlive
            isHead = head.method == .head
            isHTTP10 = head.version == .http10
            isForServer = head.targetForm == .asterisk
            if isForServer {
                verdict = .accept(tag: 0)
            } else {
                verdict = server.handler.receivedHead(head, bytes: bytes, from: peer, exchange: exchange)
            }
            // RFC 9110 section 10.1.1: not sent when some of the body has come, nor when there is none.
            expectsContinue = head.expectsContinue && head.framing != .none && bytes.byteCount == head.byteCount
        }
        switch verdict {
        case .refuse: server.tally.refusedByHandler += 1
        case .accept: if expectsContinue, phase == .receiving { write(server.prepared.goOn) }
        case nil: break
        }
    }

    private func finishRequest(_ buffer: RequestBuffer) {
        let verdict = self.verdict
        self.verdict = nil
        phase = .answering
        deadline = .max
        switch verdict {
        case .refuse(let response):
            send(response, keepAlive: keepAlive)
        case .accept(let tag):
            if isForServer {
                send(server.prepared.serverOptions, keepAlive: keepAlive)
            } else {
                server.tally.requests += 1
                server.owedCount += 1
                isOwed = true
                let exchange = exchange
                buffer.withRequest { head, bytes, body in
                    server.handler.receivedRequest(
                        head, bytes: bytes, body: body, from: peer, exchange: exchange, tag: tag)
                }
            }
        case nil:
            close()
        }
        buffer.advance()
    }

    /// Keeps what is left in the buffer: in one of the connection's own, and in none when nothing is left.
    private func keep(_ buffer: RequestBuffer) {
        guard phase != .closed, phase != .draining, buffer.count > 0 else {
            if buffer === pending { dropPending() } else { buffer.clear() }
            return
        }
        guard buffer !== pending else { return }
        buffer.compact()
        guard let own = server.makeBuffer(atLeast: buffer.count) else {
            buffer.clear()
            // The bytes read ahead are lost: the connection is closed after the pending answer.
            keepAlive = false
            isLast = true
            if phase == .receiving { refuseForMemory() }
            return
        }
        own.takeOver(buffer)
        pending = own
    }

    private func dropPending() {
        guard let pending else { return }
        self.pending = nil
        server.recycle(pending)
    }

    /// The first byte since the answer before starts the time of a head, the whole head that of a body.
    private func awaitMore() {
        guard let pending, pending.hasBegun else { return }
        if pending.isInBody {
            if awaits != .body { setDeadline(.body, server.bodyTimeout) }
        } else if awaits == .request {
            setDeadline(.head, server.headTimeout)
        }
    }

    // MARK: Answers

    /// The handler's answer to the present request.
    func answer(_ response: PreparedResponse) {
        isOwed = false
        server.owedCount -= 1
        send(response, keepAlive: keepAlive)
    }

    private func sendOwn(_ response: PreparedResponse, keepAlive: Bool) {
        verdict = nil
        send(response, keepAlive: keepAlive)
    }

    private func send(_ response: PreparedResponse, keepAlive: Bool) {
        server.tally.responses += 1
        isLast = !keepAlive || server.answersAreLast || (hasEnded && pending == nil)
        phase = .flushing
        let answered = exchange
        exchange = exchange.successor
        server.assemble(response, to: answered, isLast: isLast, isHead: isHead, saysKeepAlive: isHTTP10) { write($0) }
        guard phase == .flushing else { return }
        if !hasOutput { finishAnswer() } else { setDeadline(.flush, server.writeTimeout) }
    }

    /// Sends at once what the kernel takes, and keeps the rest for later.
    private func write(_ bytes: UnsafeRawBufferPointer) {
        var written = 0
        if !hasOutput {
            sending: while written < bytes.count {
                switch transport.write(UnsafeRawBufferPointer(rebasing: bytes[written...])) {
                case .moved(let count):
                    written += count
                    server.tally.bytesWritten += UInt64(count)
                case .wouldBlock: break sending
                case .ended, .lost:
                    wasLost()
                    return
                }
            }
        }
        if written < bytes.count {
            output.append(contentsOf: bytes[written...])
            hasOutput = true
            updateInterest()
        }
    }

    private func write(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { write($0) }
    }

    private func flush() {
        while sent < output.count {
            switch output.withUnsafeBytes({ transport.write(UnsafeRawBufferPointer(rebasing: $0[sent...])) }) {
            case .moved(let count):
                sent += count
                server.tally.bytesWritten += UInt64(count)
            case .wouldBlock: return
            case .ended, .lost:
                wasLost()
                return
            }
        }
        output = []
        hasOutput = false
        sent = 0
        updateInterest()
        if phase == .flushing { finishAnswer() }
    }

    /// The answer is out.
    private func finishAnswer() {
        if isLast {
            finish()
            return
        }
        phase = .receiving
        isReadingPaused = false
        isHead = false
        isHTTP10 = false
        keepAlive = true
        setDeadline(.request, server.idleTimeout)
        updateInterest()
        if transport.session != nil { lookForBuffered() }
        if isAdvancing { return }
        noteIdleness()
        // Pipelined bytes are served when the turn ends: an answer may be given from within another request.
        if pending != nil { server.resumeSoon(exchange) }
    }

    /// Between two requests, with nothing of the next: it may be closed for another one.
    private func noteIdleness() {
        if awaits == .request, pending == nil { server.becameIdle(self) }
    }

    /// Serves the requests that arrived while the previous answer was pending.
    func resume() {
        guard phase == .receiving, let pending else { return }
        advance(pending)
    }

    // MARK: Watching and waiting

    /// Watches only for the readiness that the present state uses.
    private func updateInterest() {
        var interest = Readiness.readable
        if phase == .answering || phase == .flushing,
            hasEnded || isReadingPaused || (pending?.count ?? 0) >= server.configuration.maxPipelinedBytes
        {
            // A connection that is lost altogether is still to be noticed.
            interest = .hungUp
        }
        if hasOutput || transport.waitsToWrite { interest = interest.union(.writable) }
        guard interest != self.interest else { return }
        self.interest = interest
        do throws(EventLoopError) {
            try watch?.watch(for: interest)
        } catch {
            // The system cannot watch it any more (out of memory): nothing could end it later.
            close()
        }
    }

    private func setDeadline(_ awaited: Awaited, _ timeout: UInt64) {
        awaits = awaited
        let now = server.loop.now
        waitsSince = now
        let (sum, overflow) = now.addingReportingOverflow(timeout)
        deadline = overflow ? .max : sum
        server.arm(self)
    }

    /// The deadline has passed; everything that was ready has been served before.
    func expired() {
        switch awaits {
        case .proxyHeader:
            server.tally.headTimeouts += 1
            close()
        case .handshake:
            server.tally.note(.timeout)
            close()
        case .head, .request, .body:
            guard phase == .receiving else { return }
            guard let pending, pending.hasBegun else {
                server.tally.idleTimeouts += 1
                close()
                return
            }
            if awaits == .body { server.tally.bodyTimeouts += 1 } else { server.tally.headTimeouts += 1 }
            reject(awaits == .body ? .bodyTimeout : .headTimeout, pending, server.prepared.timeout)
        case .flush:
            server.tally.writeTimeouts += 1
            close()
        case .drain:
            close()
        }
    }

    /// Closes when no request of its has come; one that waits in the kernel is served first.
    func closeIfIdle() {
        guard isIdle else { return }
        if phase == .receiving { receive() }
        if isIdle { close() }
    }

    // MARK: The end

    /// The last answer is out: ends orderly.
    private func finish() {
        guard !hasEnded else {
            close()
            return
        }
        phase = .draining
        dropPending()
        transport.endWriting()
        setDeadline(.drain, server.drainTimeout)
        updateInterest()
    }

    private func drain() {
        server.shared.clear()
        switch transport.readPlain(into: server.shared.tail) {
        case .moved(let count):
            drained += count
            if drained > server.configuration.maxDrainBytes { close() }
        case .wouldBlock: break
        case .ended, .lost: close()
        }
    }

    private func wasLost() {
        guard phase != .closed else { return }
        switch phase {
        case .answering, .flushing: server.tally.clientsLeft += 1
        case .receiving: if pending?.hasBegun == true { server.tally.requestsCutOff += 1 }
        case .opening: if isShakingHands { server.tally.note(.cutOff) }
        case .draining, .closed: break
        }
        close()
    }

    /// Closes at once, and tells the handler if it still owes an answer.
    func close() {
        guard phase != .closed else { return }
        if isShakingHands { server.endedHandshake() }
        let left = isOwed ? exchange : nil
        isOwed = false
        phase = .closed
        deadline = .max
        verdict = nil
        dropPending()
        output = []
        watch?.cancel()
        watch = nil
        transport.close()
        // The server may hold the connection for a while in its lists of handshakes; what TLS takes goes now.
        transport.session = nil
        exchange = exchange.successor
        server.closed(self)
        if let left {
            server.owedCount -= 1
            server.handler.clientLeft(left)
        }
    }
}
