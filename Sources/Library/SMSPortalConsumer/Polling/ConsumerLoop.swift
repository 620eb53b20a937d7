internal import SMSBridgeKafka
internal import SMSBridgeReplaying
internal import SMSBridgeTelemetry
internal import SMSBridgeThreads
internal import Synchronization

/// The thread that reads: it polls without end, whatever the handlers do, so that the group never takes this member for
/// dead. It feeds the dispatcher, commits what is done, and answers the group when partitions come and go.
final class ConsumerLoop {
    let configuration: EventConsumer.Configuration
    let consumer: Consumer
    let dispatcher: Dispatcher<EventProcessor>
    let control: ConsumerControl
    let observers: PartitionObservers
    let metrics: ConsumerMetrics
    let log: Logger
    let repeats = RepeatGuard()
    /// What is replayed, and how fast; nil for a member of the group.
    let replay: ReplayRun?
    /// Where this thread reports what ``EventConsumer/health`` shows.
    var monitor = HealthMonitor(group: "")
    /// Whether all connections to Kafka have failed, and no answer has come since.
    var isKafkaUnreachable = false
    /// How often all connections have failed: an answer to a request from before proves nothing.
    var outages = 0
    /// When running handlers were seen first, by the monotonic clock.
    var handlersSeen: [RunningHandler: UInt64] = [:]
    /// Gives up dead letters that Kafka has not acknowledged, when there is no time left for them.
    var abandonDeadLetters: () -> Void = {}

    /// What is assigned, in no order; a few dozen at most.
    var partitions: [AssignedPartition] = [] {
        didSet { last.index = -1 }
    }
    /// Where the last record belonged: the next one mostly does, too. The index is below 0 when it is not known.
    private var last: (topic: UnsafeRawPointer?, partition: Int32, index: Int) = (nil, 0, -1)
    let intake: RecordIntake
    /// Reads released records again.
    let rereader: Rereader
    private let messages = UnsafeMutableBufferPointer<PolledMessage>.allocate(capacity: ConsumerLoop.batch)
    private let incoming = UnsafeMutablePointer<IncomingRecord>.allocate(capacity: ConsumerLoop.batch)
    private let owners = UnsafeMutablePointer<AssignmentID>.allocate(capacity: ConsumerLoop.batch)
    private let rejected = UnsafeMutablePointer<UnsafeMutableRawPointer>.allocate(capacity: ConsumerLoop.batch)
    /// When the dispatcher is to be served again, by the monotonic clock.
    private var nextServe: UInt64 = 0
    private var isFull = false
    /// Partitions of the group's that are not read yet.
    var unplaced = UnplacedPartitions()
    /// Where a group begins that has no position, per topic.
    let startPositions: StartPositions
    /// Partitions that were read in this run.
    var readBefore: Set<TopicPartition> = []
    var revocation: Revocation?
    /// Partitions that cannot be read on from where they are, and that are not read from another offset yet.
    var relocations: [Relocation] = []
    /// The last known id of the cluster.
    var clusterID: String?
    /// Whether a periodic commit is under way.
    var isCommitting = false
    /// Since when a periodic commit has been postponed because of a rebalance, by the monotonic clock.
    var commitPostponed: UInt64?
    /// Whether the ends of partitions are being asked for.
    var isAskingEnds = false
    /// What blocking calls have brought, until this thread takes it.
    let results = CallResults()
    private var pendingCalls: [UInt64: (any Sendable) -> Void] = [:]
    private var nextCall: UInt64 = 0
    /// Whether all partitions are paused, because there is no room for more records.
    var isPaused = false
    /// Whether the span of a partition has become full, or has got room.
    var spansHaveChanged = false
    var nextCommit: UInt64
    var nextLook: UInt64
    /// When reading ended.
    private var endedAt: UInt64?

    /// Partitions that are to be given up once their handlers have finished.
    struct Revocation {
        var partitions: [TopicPartition]
        var assignments: [AssignmentID]
        var deadline: UInt64
        var isCancelled = false
        var phase = Phase.handlers
        /// When a commit that failed in passing is sent again, by the monotonic clock; nil while one is under way.
        var nextCommit: UInt64?

        enum Phase {
            /// Handlers finish.
            case handlers
            /// What is done is committed.
            case commit
            case done
        }
    }

    /// At most so many records are taken in at once; handlers begin in between.
    static let batch = 256
    /// How often the dispatcher is served while records come, in nanoseconds.
    private static let servePause: UInt64 = 2_000_000
    /// How long handlers that were cancelled may take to notice.
    static let cancelGrace = Duration.seconds(1)
    /// How long a commit may take.
    static let commitTimeout = Duration.seconds(10)
    /// How long a commit of partitions that are given up may take in any case.
    static let leastCommitTime = Duration.seconds(1)
    /// How long to wait before offsets are looked up again, in nanoseconds.
    static let lookupPause: UInt64 = 1_000_000_000
    /// How often a commit looks whether the member has joined its group again, in nanoseconds.
    static let joiningPause: UInt64 = 50_000_000
    /// How long a commit waits until no rebalance is about to begin, in nanoseconds.
    static let commitPatience: UInt64 = 2_000_000_000
    /// The same for the last commit of a run.
    static let lastCommitPatience: UInt64 = 500_000_000
    /// How often lag is measured.
    static let lookInterval = Duration.seconds(5)
    /// How long the thread waits for room before it pauses the partitions: most often there soon is some, and a pause
    /// throws away what has been fetched ahead.
    static let roomPatience = Duration.milliseconds(50)

    init(
        _ configuration: EventConsumer.Configuration, dispatcher: Dispatcher<EventProcessor>, control: ConsumerControl,
        observers: PartitionObservers, metrics: ConsumerMetrics, log: Logger,
        topics: [String], startPositions: StartPositions = StartPositions(), replay task: ReplayTask? = nil
    ) throws(EventConsumerError) {
        replay = task.map(ReplayRun.init)
        var consumer =
            task.map { .range(configuration.kafkaClient, group: $0.group(of: configuration)) }
            ?? ConsumerConfiguration(client: configuration.kafkaClient, group: configuration.group)
        consumer.offsetReset = .error
        // Behind markers of transactions no record comes: only the end tells that everything is done.
        consumer.reportsPartitionEnd = true
        intake = RecordIntake(topics: topics, redriveTopic: configuration.redriveTopic)
        rereader = try Rereader(configuration, dispatcher: dispatcher, intake: intake, metrics: metrics, log: log)
        do { self.consumer = try Consumer(consumer) } catch { throw EventConsumerError(.kafka, error.description) }
        self.configuration = configuration
        self.startPositions = startPositions
        self.dispatcher = dispatcher
        self.control = control
        self.observers = observers
        self.metrics = metrics
        self.log = log
        let now = monotonicNow()
        nextCommit = now + configuration.commitInterval.nanoseconds
        nextLook = now + 1_000_000_000
        control.setWaker(self.consumer.waker)
    }

    deinit {
        messages.deallocate()
        incoming.deallocate()
        owners.deallocate()
        rejected.deallocate()
    }

    /// Reads until it is stopped.
    ///
    /// - Throws: Why it cannot go on.
    func run(topics: [String]) throws(EventConsumerError) {
        defer { rereader.stop() }
        defer {
            let end = endOfRun
            let now = monotonicNow()
            let timeout = end.all > now ? Int32(clamping: (end.all - now) / 1_000_000) : 0
            if !consumer.close(timeout: timeout) {
                log.warning(
                    "the group could not be left in time; it goes on without this member after its session timeout")
            }
        }
        defer { replay?.close() }
        if let replay {
            guard try begin(replay, topics: topics) else { return }
        } else if configuration.joinsGroup {
            do { try consumer.subscribe(to: topics) } catch { throw EventConsumerError(.kafka, error.description) }
        } else {
            takeAll(of: topics)
        }
        monitor.update { $0.state = .running }
        if replay == nil { log.info("consumer started", ["group": configuration.group, "topics": topics]) }
        var failure: EventConsumerError?
        do throws(EventConsumerError) {
            while control.stopWanted == nil, replay?.hasEnded != true { try turn() }
        } catch {
            failure = error
        }
        finish(isCancelled: failure != nil)
        if case .failed(let error) = control.stopWanted { failure = failure ?? error }
        log.info(
            replay == nil ? "consumer stopped" : "replay ended", ["group": consumer.group])
        if let failure { throw failure }
    }

    // MARK: Reading

    func turn() throws(EventConsumerError) {
        var timeout: Int32 = 0
        let now = monotonicNow()
        // While records come, everything else is done every two milliseconds; a replay checks its rate each time.
        if replay != nil || now >= nextServe || control.takeAttention() {
            try answer()
            let due = serveDispatcher(now: now)
            timeout = serveTimers(now: now, due: due)
            makeRoom(isFull: isFull)
            nextServe = min(now + Self.servePause, due ?? .max)
            if let replay {
                guard let paced = pace(replay, timeout: timeout) else { return nextServe = 0 }
                timeout = paced
            }
        }
        var count = 0
        let event = consumer.poll(
            into: UnsafeMutableBufferPointer(rebasing: messages[..<(replay?.burst ?? Self.batch)]), timeout: timeout,
            count: &count)
        if count > 0 {
            // No proof that Kafka answers: they may have been fetched before the connections failed.
            takeRecords(count)
        } else {
            nextServe = 0
        }
        guard let event else { return }
        nextServe = 0
        try take(event)
    }

    /// Retries that are due, and workers that do not come on.
    ///
    /// - Returns: when the dispatcher is to be served again.
    func serveDispatcher(now: UInt64) -> UInt64? {
        let (standing, nextLook, overdue) = dispatcher.serve(now: now)
        if standing.spansHaveChanged { spansHaveChanged = true }
        isFull = standing.isFull
        if !overdue.isEmpty { report(overdue) }
        return [standing.nextRetry, nextLook].compactMap(\.self).min()
    }

    /// What is due: commits, a look at the lag.
    ///
    /// - Returns: how long the next poll may take, in milliseconds.
    func serveTimers(now: UInt64, due: UInt64?) -> Int32 {
        if now >= nextCommit {
            nextCommit =
                now + (canCommit && !isCommitting ? configuration.commitInterval.nanoseconds : Self.joiningPause)
            commitLater(now: now)
        }
        if now >= nextLook {
            nextLook = now + Self.lookInterval.nanoseconds
            look()
        }
        var next = min(nextCommit, nextLook)
        if let due { next = min(next, due) }
        if let revocation { next = min(next, revocation.deadline, revocation.nextCommit ?? .max) }
        if !relocations.isEmpty { next = min(next, now + 100_000_000) }
        if !unplaced.partitions.isEmpty, !unplaced.isLookingUp { next = min(next, max(now, unplaced.nextLookup)) }
        return Int32(clamping: next > now ? (next - now + 999_999) / 1_000_000 : 0)
    }

    func take(_ event: consuming ConsumerEvent) throws(EventConsumerError) {
        switch consume event {
        case .message: break
        case .rebalance(let rebalance): begin(rebalance)
        case .committed: break
        case .partitionError(let partition, let error): try partitionFailed(partition, error)
        case .error(let error):
            if error.isFatal { throw EventConsumerError(.kafka, "Kafka's client cannot go on: \(error)") }
            if error.code == .allBrokersDown { kafkaStoppedAnswering() }
            if error.code == .inconsistentGroupProtocol {
                log.log(
                    .error, onceIn: repeats, key: "protocol",
                    "the group cannot be joined: another member assigns partitions by an eager strategy "
                        + "(range, roundrobin), this library only by cooperative-sticky. Stop that member, or choose "
                        + "another group",
                    ["group": configuration.group, "error": error.message])
                return
            }
            log.log(
                .warning, onceIn: repeats, key: "kafka \(error.code)", "Kafka's client", ["error": error.message])
        case .log(let level, let facility, let text):
            guard level <= 4 else { return }
            log.log(
                .debug, onceIn: repeats, key: "rdkafka \(facility)", "librdkafka", ["facility": facility, "text": text])
        case .partitionEnd(let place): if replay == nil { reachedEnd(place) } else { passEnd(place) }
        }
    }

    /// The last offsets of a partition may be markers of transactions, or compacted away: no record brings them, and
    /// they count as done.
    private func reachedEnd(_ place: TopicPartition) {
        guard let offset = place.offset,
            let partition = partitions.first(where: { $0.topic == place.topic && $0.partition == place.partition })
        else { return }
        dispatcher.update { $0.pass(offset, of: partition.assignment) }
    }

    /// Hands records that have come to the dispatcher.
    private func takeRecords(_ count: Int) {
        var kept = 0
        for position in 0..<count {
            let message = messages[position]
            guard let index = index(of: message), replay == nil || isWanted(message, index) else {
                message.destroy()
                continue
            }
            incoming[kept] = intake.record(message, topic: partitions[index].topicPosition)
            owners[kept] = partitions[index].assignment
            kept &+= 1
        }
        let (incoming, owners, rejected) = (incoming, owners, rejected)
        let (left, isFull) = dispatcher.update { core in
            var left = 0
            for position in 0..<kept {
                if case .held = core.add(incoming[position], to: owners[position]) { continue }
                rejected[left] = incoming[position].message.unsafelyUnwrapped
                left &+= 1
            }
            return (left, core.isFull)
        }
        for position in 0..<left { PolledMessage(address: rejected[position]).destroy() }
        if let replay {
            replay.took(kept)
            passUnwanted()
        }
        if isFull {
            self.isFull = true
            nextServe = 0
        }
    }

    private func isWanted(_ message: PolledMessage, _ index: Int) -> Bool {
        replay?.wants(message, of: &partitions[index]) ?? true
    }

    @inline(__always)
    private func index(of message: PolledMessage) -> Int? {
        if last.index >= 0, last.topic == message.topicIdentity, last.partition == message.partition {
            return last.index
        }
        return findIndex(of: message)
    }

    @inline(never)
    private func findIndex(of message: PolledMessage) -> Int? {
        guard
            let index = partitions.firstIndex(where: {
                $0.partition == message.partition && message.isOfTopic($0.topic)
            })
        else { return nil }
        last = (message.topicIdentity, message.partition, index)
        return index
    }

    /// Handlers that take long, by name.
    private func report(_ overdue: [OverdueHandler]) {
        for handler in overdue {
            guard !handler.isStarved else {
                let running = dispatcher.handlers
                log.log(
                    .error, onceIn: repeats, key: "starved",
                    "handlers cannot run: all threads of Swift's pool are blocked. A handler that blocks its thread needs "
                        + "`executor = .threads(…)`",
                    ["handlersRunning": running, "waitingSeconds": Int(handler.time / 1_000_000_000)])
                continue
            }
            let record = handler.record
            let place = partitions.first { $0.assignment == record.assignment }
            metrics.overdueHandlers.increment()
            log.log(
                .warning, onceIn: repeats, key: "overdue \(record.topic) \(handler.isCancelled)",
                handler.isCancelled
                    ? "handler cancelled: its attempt timeout is over" : "handler has been running for long",
                [
                    "handler": intake.topics.indices.contains(record.topic) ? intake.topics[record.topic] : "?",
                    "partition": place?.partition ?? -1, "offset": record.offset, "attempt": record.attempt,
                    "seconds": Int(handler.time / 1_000_000_000),
                ])
        }
    }

    // MARK: Ending

    private func cancel(_ assignments: [AssignmentID]) {
        dispatcher.fence(assignments, givingBack: true)
        dispatcher.cancel(assignments)
    }

    /// When the steps of the end are over, by the monotonic clock: one after the other, whatever Kafka and the handlers
    /// do.
    struct EndOfRun {
        /// Handlers that have not finished are cancelled.
        let handlers: UInt64
        /// Cancelled handlers are not waited for any longer.
        let cancelled: UInt64
        /// The last commit is given up.
        let commit: UInt64
        /// Leaving the group is not waited for any longer.
        let all: UInt64

        init(stoppedAt: UInt64, timeout: Duration, isCancelled: Bool) {
            let timeout = timeout.nanoseconds
            handlers = isCancelled ? stoppedAt : stoppedAt + timeout
            cancelled = handlers + 400_000_000 + (isCancelled ? min(timeout, 600_000_000) : 0)
            commit = max(cancelled, stoppedAt + timeout) + 300_000_000
            all = commit + 200_000_000
        }
    }

    private var endOfRun: EndOfRun {
        EndOfRun(
            stoppedAt: control.stoppedAt ?? endedAt ?? monotonicNow(), timeout: configuration.shutdownTimeout,
            isCancelled: control.isCancelled)
    }

    /// Lets handlers finish, within their time, and commits what is done.
    func finish(isCancelled: Bool) {
        endedAt = monotonicNow()
        monitor.update { $0.state = .shuttingDown }
        dispatcher.stop()
        let all = partitions.map(\.assignment)
        let stoppedAt = control.stoppedAt ?? monotonicNow()
        func end(_ isCancelled: Bool) -> EndOfRun {
            EndOfRun(stoppedAt: stoppedAt, timeout: configuration.shutdownTimeout, isCancelled: isCancelled)
        }
        var isCancelled = isCancelled || control.isCancelled
        var limit = end(isCancelled)
        if isCancelled {
            cancel(all)
            abandonDeadLetters()
        }
        while true {
            takeResults()
            let running = dispatcher.read { $0.running(in: all) }
            guard running > 0, !consumer.isAssignmentLost else { break }
            let now = monotonicNow()
            if !isCancelled, now >= limit.handlers || control.isCancelled {
                isCancelled = true
                if control.isCancelled { limit = end(true) }
                cancel(all)
                abandonDeadLetters()
            }
            guard now < limit.cancelled else {
                log.warning("handlers did not end in time; their events are handled again", ["count": running])
                break
            }
            // Offsets that can be committed do not wait for the last handler.
            if now >= nextCommit {
                nextCommit = now + Self.lookupPause
                commitLater(now: now)
            }
            // New records are dropped: they have not been begun.
            let (_, nextLook, overdue) = dispatcher.serve(now: now)
            if !overdue.isEmpty { report(overdue) }
            _ = consumer.poll(timeout: nextLook == nil ? 50 : 2)
        }
        // A heartbeat that is not answered is not waited for as long as a rebalance.
        let settled = min(limit.handlers, monotonicNow() + Self.lastCommitPatience)
        while !consumer.isAssignmentLost, revocation == nil {
            let now = monotonicNow()
            guard now < (consumer.isJoining ? limit.handlers : settled), !consumer.membership.isSettled else { break }
            _ = consumer.poll(timeout: 10)
        }
        if !consumer.isAssignmentLost { commitLast(deadline: limit.commit) }
        look()
        if let replay { self.end(replay) }
        dispatcher.update { core in
            for assignment in all { core.close(assignment) }
        }
        dispatcher.detachMessages()
        for partition in partitions { metrics.forget(topic: partition.topic, partition: partition.partition) }
    }

    /// Commits what is done for the last time, and waits for it.
    private func commitLast(deadline: UInt64) {
        var isDone = false
        var error: KafkaError?
        var isPostponed = false
        while !isDone {
            var isAnswered = false
            let isBegun = commit(
                partitions, deadline: deadline, revocation == nil ? .beforeRebalance : .duringRevocation
            ) { _, outcome in
                isAnswered = true
                isDone = !outcome.isWorthRepeating
                isPostponed = outcome.isPostponed
                error = outcome.error
            }
            guard isBegun else { return }
            while !isAnswered, monotonicNow() < deadline {
                _ = consumer.poll(timeout: 10)
                takeResults()
            }
            guard isAnswered, !consumer.isAssignmentLost, monotonicNow() < deadline else { break }
            if !isDone { _ = consumer.poll(timeout: 50) }
        }
        if !isDone || error != nil {
            if !isDone { metrics.commitFailures.increment() }
            log.warning(
                "the last offsets were not committed; their events are handled again",
                ["error": error?.message ?? (isPostponed ? "the group is rebalancing" : "Kafka did not answer in time")]
            )
        }
    }

    // MARK: Blocking calls

    /// Runs a call that blocks on a thread of its own.
    ///
    /// - Parameter then: Gets the result, on this thread.
    /// - Returns: false when there is no such thread; `then` is not called.
    @discardableResult
    func inBackground<R: Sendable>(
        _ call: @escaping @Sendable (Client) -> R, then: @escaping (ConsumerLoop, R) -> Void
    ) -> Bool {
        let number = nextCall
        let isTaken = consumer.runInBackground { [results, control] client in
            results.put(number, call(client))
            control.wake()
        }
        guard isTaken else { return false }
        nextCall += 1
        pendingCalls[number] = { [unowned self] in if let result = $0 as? R { then(self, result) } }
        return true
    }

    /// Goes on with what blocking calls have brought.
    func takeResults() {
        for (number, result) in results.take() { pendingCalls.removeValue(forKey: number)?(result) }
    }
}

/// What blocking calls have brought.
final class CallResults: Sendable {
    private let state = Mutex<[(number: UInt64, result: any Sendable)]>([])

    func put(_ number: UInt64, _ result: any Sendable) {
        state.withLock { $0.append((number, result)) }
    }

    func take() -> [(number: UInt64, result: any Sendable)] {
        state.withLock { all in
            defer { all = [] }
            return all
        }
    }
}
