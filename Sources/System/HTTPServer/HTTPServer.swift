internal import SMSBridgeAddresses
package import SMSBridgeEventLoop
internal import SMSBridgeThreads

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Serves HTTP/1.1 and HTTP/1.0 to one handler, on one event loop.
///
/// It keeps within the bounds of its configuration whatever clients do. It holds its handler, and from `listen()` on
/// is itself held by what it watches, until `close()`.
package final class HTTPServer {
    let loop: EventLoop
    let configuration: HTTPServerConfiguration
    @exclusivity(unchecked) private(set) var handler: any RequestHandler
    /// How connections speak TLS from their accept on; nil for plain ones. Give it before `listen()`, and another one at
    /// any time: connections that are open keep theirs.
    package var tls: TLSContext?
    let prepared = PreparedAnswers()
    private let requestIDs = RequestIDs()

    let headTimeout: UInt64
    let bodyTimeout: UInt64
    let writeTimeout: UInt64
    let idleTimeout: UInt64
    let drainTimeout: UInt64
    let handshakeTimeout: UInt64

    private var listeners: [Listener] = []
    private var isAcceptPaused = false
    private var acceptRetry: LoopTimer?
    /// Runs while handshakes that are under way are waited for.
    private var listenEnd: LoopTimer?
    /// Answers are the last ones of their connections.
    @exclusivity(unchecked) private(set) var answersAreLast = false
    private var isStopping = false
    private var isClosed = false
    /// A connection is reading from `shared`, and may be in a call of the handler's.
    @exclusivity(unchecked) var isServing = false

    // Unchecked, here and below: on the loop's thread, by accesses that contain no call of anything but the value's own methods.
    @exclusivity(unchecked) private var slots: [Connection?] = []
    private var freeSlots: [Int] = []
    /// For each slot the exchange that its next connection begins with.
    private var nextExchanges: [Exchange] = []
    private var surplusConnections = 0
    @exclusivity(unchecked) private var idle = IdleList()

    /// Where every connection reads that has nothing left over.
    let shared: RequestBuffer
    private var unfinishedBytes = 0
    private var outgoing: AnswerBuffer? = AnswerBuffer()
    private var dateLine: [UInt8] = []
    private var dateSecond = Int64.min

    @exclusivity(unchecked) private var ring: DeadlineRing
    private var ringTimer: LoopTimer?
    private var ringTimerDue = UInt64.max
    private var dueSlots: [(slot: Int, deadline: UInt64)] = []
    private var resuming: [Exchange] = []

    private static let granularity: UInt64 = 50_000_000
    private static let connectionClose: StaticString = "Connection: close\r\n\r\n"
    private static let connectionKeepAlive: StaticString = "Connection: keep-alive\r\n\r\n"
    private static let lineEnd: StaticString = "\r\n"
    private static let acceptsPerTurn = 64

    private var openCount = 0
    @exclusivity(unchecked) var owedCount = 0
    @exclusivity(unchecked) var tally = HTTPServerCounters()
    private var refusals = [UInt64](repeating: 0, count: RequestRule.allCases.count)

    /// Connections whose TLS handshake is not done, in the order of their begin; some of them have left by now.
    private var handshakes: [Connection] = []
    private var handshakeCount = 0
    /// Steps that wait to be taken.
    private var handshakeQueue: [Connection] = []
    private var readingOn: [Connection] = []
    /// A handshake costs the loop up to a millisecond (RSA of 2048 bits), a request some microseconds: so many steps a
    /// turn, and then it is the requests' turn again.
    private static let handshakeStepsPerTurn = 8

    /// TLS handshakes that are awaited or under way.
    package var openHandshakes: Int { handshakeCount }
    /// Connections that are open, those that are being closed orderly included.
    package var openConnections: Int { openCount }
    /// Addresses of the configured name that are not listened on.
    package private(set) var skippedAddresses: [SkippedAddress] = []
    /// Whether connections are still accepted.
    package var isListening: Bool { !listeners.isEmpty }
    /// Requests that the handler has not answered.
    package var requestsInFlight: Int { owedCount }
    /// What happened so far.
    package var counters: HTTPServerCounters {
        var counters = tally
        counters.refusals = refusals
        return counters
    }

    package init(loop: EventLoop, configuration: HTTPServerConfiguration, handler: any RequestHandler) {
        self.loop = loop
        self.configuration = configuration
        self.handler = handler
        headTimeout = configuration.headTimeout.nanoseconds
        bodyTimeout = configuration.bodyTimeout.nanoseconds
        writeTimeout = configuration.writeTimeout.nanoseconds
        idleTimeout = configuration.idleTimeout.nanoseconds
        drainTimeout = configuration.drainTimeout.nanoseconds
        handshakeTimeout = configuration.handshakeTimeout.nanoseconds
        shared = RequestBuffer(capacity: 64 * 1024, limits: configuration.limits)
        ring = DeadlineRing(granularity: Self.granularity, slots: 2048)
    }

    // MARK: Listening

    /// Begins to accept connections.
    ///
    /// - Returns: the port, which matters when the system was to choose it.
    /// - Throws: When the host is invalid or the port is unavailable.
    package func listen() throws(HTTPServerError) -> UInt16 {
        guard listeners.isEmpty, !isClosed else {
            throw HTTPServerError(operation: "listen", reason: "already listening, or closed")
        }
        let (opened, skipped) = try Listener.listen(
            host: configuration.host, port: configuration.port, backlog: configuration.backlog)
        do throws(EventLoopError) {
            ringTimer = try loop.pausedTimer { [unowned self] in ringTimerFired() }
            acceptRetry = try loop.pausedTimer { [unowned self] in resumeAccepting() }
            for listener in opened {
                listener.watch = try loop.watch(descriptor: listener.descriptor) { [unowned self, unowned listener] in
                    accept(from: listener)
                }
            }
        } catch {
            for listener in opened { listener.close() }
            ringTimer?.cancel()
            acceptRetry?.cancel()
            throw HTTPServerError(operation: error.operation, reason: "\(error)")
        }
        listeners = opened
        skippedAddresses = skipped
        return opened.first?.port ?? 0
    }

    /// Listens as `listen()` would, and ends it at once.
    ///
    /// - Returns: the addresses of the name that were skipped.
    /// - Throws: what `listen()` would.
    package static func tryListening(host: String, port: UInt16) throws(HTTPServerError) -> [SkippedAddress] {
        let (listeners, skipped) = try Listener.listen(host: host, port: port, backlog: 1)
        for listener in listeners { listener.close() }
        return skipped
    }

    /// From now on every answer is the last of its connection, and says so. New connections are taken and served all the
    /// same: clients that keep connections for long move on to another server without a request being lost.
    package func drainConnections() { answersAreLast = true }

    /// Accepts no more connections; on the open ones the next answer is the last, and says so. Those that wait in
    /// the kernel to be accepted are served first: with the listening socket they would be reset.
    ///
    /// - Parameter handshakes: how long connections are accepted whose TCP handshake is under way, which takes a round trip;
    ///   no new one begins in that time.
    package func stopListening(after handshakes: Duration = .zero) {
        answersAreLast = true
        guard handshakes > .zero, !isStopping, listenEnd == nil else { return endListening(servesWaiting: true) }
        do throws(EventLoopError) {
            listenEnd = try loop.timer(after: handshakes.nanoseconds) { [weak self] in
                self?.endListening(servesWaiting: true)
            }
            for listener in listeners { listener.dropNewConnections() }
        } catch {
            endListening(servesWaiting: true)
        }
    }

    private func endListening(servesWaiting: Bool) {
        if servesWaiting, !isStopping {
            for listener in listeners { while accept(from: listener) {} }
        }
        isStopping = true
        answersAreLast = true
        acceptRetry?.cancel()
        listenEnd?.cancel()
        for listener in listeners { listener.close() }
        listeners = []
    }

    /// Closes the connections that are between two requests.
    package func closeIdle() {
        if isServing {
            // Called by the handler: looking at other connections would overwrite the request that it is given.
            loop.soon { [weak self] in self?.closeIdle() }
            return
        }
        for connection in slots { connection?.closeIfIdle() }
    }

    /// Closes everything at once: the handler is called for each pending response that can no longer be sent.
    package func close() {
        guard !isClosed else { return }
        endListening(servesWaiting: false)
        isClosed = true
        for connection in slots { connection?.close() }
        // Connections hold the server.
        handshakes = []
        handshakeQueue = []
        readingOn = []
        ringTimer?.cancel()
        ringTimer = nil
        acceptRetry = nil
        handler = NoHandler()
    }

    deinit {
        // Open connections hold the server, so none is left here.
        for listener in listeners { listener.close() }
        ringTimer?.cancel()
        acceptRetry?.cancel()
        listenEnd?.cancel()
    }

    /// - Returns: whether more may wait.
    @discardableResult
    private func accept(from listener: Listener) -> Bool {
        for _ in 0..<Self.acceptsPerTurn {
            let room = configuration.maxConnections + configuration.maxSurplusConnections
            guard openCount < min(room, Exchange.maxSlots) else {
                pauseAccepting()
                return false
            }
            switch listener.accept() {
            case .connection(let transport, let peer): open(transport, peer)
            case .gone: continue
            case .none: return false
            case .exhausted:
                tally.acceptPauses += 1
                pauseAccepting()
                acceptRetry?.rearm(after: configuration.acceptRetryDelay.nanoseconds)
                return false
            }
            if isStopping { return false }
        }
        return true
    }

    private func open(_ transport: Transport, _ peer: PeerAddress) {
        tally.accepted += 1
        if openCount - surplusConnections >= configuration.maxConnections { makeRoom() }
        let isSurplus = openCount - surplusConnections >= configuration.maxConnections
        if isSurplus, needsOpening {
            // To answer would take a handshake, or a header first.
            tally.surplus += 1
            transport.close()
            return
        }
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = slots.count
            slots.append(nil)
            nextExchanges.append(Exchange(slot: slot, generation: 1))
        }
        let connection = Connection(
            server: self, transport: transport, peer: peer, exchange: nextExchanges[slot], isSurplus: isSurplus)
        slots[slot] = connection
        openCount += 1
        if isSurplus {
            surplusConnections += 1
            tally.surplus += 1
        }
        do throws(EventLoopError) {
            try connection.open()
        } catch {
            connection.close()
        }
    }

    /// Closes the connection that has been idle for longest, or one that waits for its client where that is allowed.
    private func makeRoom() {
        while let slot = idle.longest {
            idle.remove(slot)
            guard let connection = slots[slot] else { continue }
            // A request that has just come is served, and another one closed.
            connection.closeIfIdle()
            guard connection.isClosed else { continue }
            tally.displaced += 1
            return
        }
        guard configuration.displacesWaiting else { return }
        var longest: Connection?
        for case let connection? in slots where connection.waitsForItsClient && !connection.isSurplus {
            if connection.waitsSince < longest?.waitsSince ?? .max { longest = connection }
        }
        guard let longest else { return }
        tally.displaced += 1
        longest.close()
    }

    /// A connection is between two requests from now on.
    func becameIdle(_ connection: Connection) { idle.append(connection.exchange.slot) }

    /// A connection is not idle any more.
    func ceasedToBeIdle(_ connection: Connection) { idle.remove(connection.exchange.slot) }

    /// A connection has closed itself.
    func closed(_ connection: Connection) {
        let slot = connection.exchange.slot
        idle.remove(slot)
        slots[slot] = nil
        nextExchanges[slot] = connection.exchange
        freeSlots.append(slot)
        openCount -= 1
        if connection.isSurplus { surplusConnections -= 1 }
        if isAcceptPaused { resumeAccepting() }
    }

    private func pauseAccepting() {
        isAcceptPaused = true
        for listener in listeners { try? listener.watch?.watch(for: .none) }
    }

    private func resumeAccepting() {
        isAcceptPaused = false
        for listener in listeners {
            do throws(EventLoopError) {
                try listener.watch?.watch(for: .readable)
            } catch {
                isAcceptPaused = true
                acceptRetry?.rearm(after: configuration.acceptRetryDelay.nanoseconds)
            }
        }
    }

    // MARK: Answers

    /// Answers a request. Nothing happens when the exchange is answered or gone.
    package func respond(to exchange: Exchange, with response: PreparedResponse) {
        guard let connection = connection(of: exchange), connection.isOwed else { return }
        connection.answer(response)
    }

    private func connection(of exchange: Exchange) -> Connection? {
        let slot = exchange.slot
        guard slot < slots.count, let connection = slots[slot], connection.exchange == exchange else { return nil }
        return connection
    }

    /// The `X-Request-Id` of the answer to a request.
    package func requestID(of exchange: Exchange) -> String { requestIDs.text(of: exchange) }

    /// Puts an answer's bytes together, for the call only.
    func assemble(
        _ response: PreparedResponse, to exchange: Exchange, isLast: Bool, isHead: Bool, saysKeepAlive: Bool,
        _ write: (UnsafeRawBufferPointer) -> Void
    ) {
        let second = Int64(time(nil))
        if second != dateSecond {
            dateSecond = second
            dateLine = HTTPDate.line(second)
        }
        // Taken out while it is in use: a write that finds the client gone may have another answer assembled.
        let buffer = outgoing ?? AnswerBuffer()
        outgoing = nil
        buffer.removeAll(reserving: response.bytes.count + dateLine.count + RequestIDs.longest + 32)
        buffer.append(response.bytes, ..<response.bodyOffset)
        buffer.append(dateLine)
        requestIDs.append(exchange, to: buffer)
        buffer.append(isLast ? Self.connectionClose : saysKeepAlive ? Self.connectionKeepAlive : Self.lineEnd)
        if !isHead { buffer.append(response.bytes, response.bodyOffset...) }
        write(buffer.bytes)
        outgoing = buffer
    }

    /// Has a connection go on at the end of this turn.
    func resumeSoon(_ exchange: Exchange) {
        resuming.append(exchange)
        if resuming.count == 1 { loop.soon { [self] in resumeWaiting() } }
    }

    private func resumeWaiting() {
        let waiting = resuming
        resuming = []
        for exchange in waiting { connection(of: exchange)?.resume() }
    }

    func countRefusal(by rule: RequestRule) {
        refusals[HTTPServerCounters.index(of: rule)] += 1
    }

    // MARK: TLS

    /// Whether something stands before a connection's first request.
    var needsOpening: Bool { tls != nil || configuration.proxyProtocolSources != nil }

    /// A connection waits for its handshake: one too many ends the one whose client has been waited for longest.
    func beganHandshake(_ connection: Connection) {
        handshakeCount += 1
        handshakes.append(connection)
        if handshakes.count > 2 * handshakeCount + 64 { handshakes.removeAll { !$0.isShakingHands } }
        guard handshakeCount > configuration.maxHandshakes else { return }
        let oldest = handshakes.first { $0.isShakingHands && $0.waitsForClient }
        (oldest ?? connection).giveUpHandshake()
    }

    /// A handshake is done, or its connection has left.
    func endedHandshake() { handshakeCount -= 1 }

    /// Has a step of a handshake taken when this turn's requests have been served.
    func queueHandshake(_ connection: Connection) {
        handshakeQueue.append(connection)
        if handshakeQueue.count == 1 { loop.soon { [self] in takeHandshakeSteps() } }
    }

    private func takeHandshakeSteps() {
        let steps = handshakeQueue.prefix(Self.handshakeStepsPerTurn)
        handshakeQueue.removeFirst(steps.count)
        let left = !handshakeQueue.isEmpty
        for connection in steps { connection.shakeHands() }
        if left { loop.soon { [self] in takeHandshakeSteps() } }
    }

    /// Has a connection read at the end of this turn what its socket does not tell of.
    func readOnSoon(_ connection: Connection) {
        readingOn.append(connection)
        if readingOn.count == 1 { loop.soon { [self] in readOn() } }
    }

    private func readOn() {
        let connections = readingOn
        readingOn = []
        for connection in connections { connection.readOn() }
    }

    // MARK: Memory of unfinished requests

    /// Whether so many bytes more may be used; then they count as used.
    func takeUnfinished(_ count: Int) -> Bool {
        guard count <= configuration.maxUnfinishedBytes - unfinishedBytes else { return false }
        unfinishedBytes += count
        return true
    }

    /// A buffer for a connection of its own; nil when all together take too much.
    func makeBuffer(atLeast count: Int) -> RequestBuffer? {
        var capacity = 512
        while capacity < count + 256 { capacity *= 2 }
        guard takeUnfinished(capacity) else { return nil }
        return RequestBuffer(capacity: capacity, limits: configuration.limits)
    }

    func recycle(_ buffer: RequestBuffer) {
        unfinishedBytes -= buffer.capacity
    }

    // MARK: Deadlines

    /// Sees to it that the connection is looked at by its deadline.
    func arm(_ connection: Connection) {
        let deadline = connection.deadline
        guard deadline != .max, deadline < connection.ringDeadline ?? .max else { return }
        connection.ringDeadline = deadline
        ring.insert(token: UInt64(connection.exchange.slot), at: deadline)
        armTimer(deadline)
    }

    private func armTimer(_ deadline: UInt64) {
        // To the end of the granule: one wake-up for all deadlines in it.
        let (due, overflow) = (deadline / Self.granularity + 1).multipliedReportingOverflow(by: Self.granularity)
        guard !overflow, due < ringTimerDue else { return }
        ringTimerDue = due
        let now = loop.now
        ringTimer?.rearm(after: due > now ? due - now : 0)
    }

    private func ringTimerFired() {
        ringTimerDue = .max
        // libuv runs timers before it looks at descriptors. What has come is served first, so that a process that was
        // paused does not take its own lateness for its clients'.
        loop.soon { [self] in judgeDeadlines() }
    }

    private func judgeDeadlines() {
        let now = loop.now
        dueSlots.removeAll(keepingCapacity: true)
        ring.expire(upTo: now) { token, deadline in dueSlots.append((Int(token), deadline)) }
        let due = dueSlots
        for (slot, deadline) in due {
            guard slot < slots.count, let connection = slots[slot], connection.ringDeadline == deadline else {
                continue
            }
            connection.ringDeadline = nil
            if connection.deadline <= now { connection.expired() }
            if !connection.isClosed { arm(connection) }
        }
        if let next = ring.next { armTimer(next) }
    }
}

/// What a closed server has in place of its handler.
private final class NoHandler: RequestHandler {
    func receivedHead(
        _ head: borrowing RequestHead, bytes: RawSpan, from peer: PeerAddress, exchange: Exchange
    ) -> HeadVerdict {
        .refuse(PreparedResponse(status: 503))
    }

    func receivedRequest(
        _ head: borrowing RequestHead, bytes: RawSpan, body: RawSpan, from peer: PeerAddress, exchange: Exchange,
        tag: UInt64
    ) {}
}
