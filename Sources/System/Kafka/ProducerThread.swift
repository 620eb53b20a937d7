internal import CSMSBridgeRDKafka
internal import SMSBridgeThreads
internal import Synchronization

/// A producer with a thread of its own, for callers that have no event loop.
///
/// The thread blocks on librdkafka's queue and reports to each caller the outcome of its record. `send` may be called
/// from any thread and never blocks.
package final class ProducerThread: Sendable {
    private let core: Core
    private let thread: Mutex<NamedThread?>

    /// The producer and the callers that wait for its reports.
    ///
    /// `@unchecked Sendable`: `producer` is polled and closed by the one thread only; producing goes through
    /// librdkafka's own locks; the topics and waiters are guarded by `state`.
    private final class Core: @unchecked Sendable {
        let producer: Producer
        let state = Mutex(State())

        init(_ producer: Producer) {
            self.producer = producer
        }
    }

    private struct State {
        var waiters: [UInt64: @Sendable (DeliveryReport) -> Void] = [:]
        var topics: [String: Producer.Topic] = [:]
        var next: UInt64 = 1
        var isStopping = false
        /// Whether the producer must not be touched any more.
        var hasEnded = false
    }

    /// - Parameters:
    ///   - name: the thread's.
    ///   - onEvent: errors, log lines and statistics, called on the producer's thread.
    package init(
        _ configuration: ProducerConfiguration, name: String = "kafka-producer",
        onEvent: @escaping @Sendable (ProducerEvent) -> Void = { _ in }
    ) throws(KafkaError) {
        let core = Core(try Producer(Producer.makeClient(configuration), isWokenByDescriptor: false))
        self.core = core
        do {
            thread = Mutex(
                try NamedThread(name) {
                    while true {
                        core.producer.poll(
                            timeout: -1,
                            reports: { report in
                                let waiter = core.state.withLock { $0.waiters.removeValue(forKey: report.opaque) }
                                waiter?(report)
                            }, events: onEvent)
                        let isDone = core.state.withLock { state in
                            state.hasEnded = state.isStopping && state.waiters.isEmpty
                            return state.hasEnded
                        }
                        if isDone { break }
                    }
                    core.producer.close().destroy()
                })
        } catch {
            core.producer.close().destroy()
            throw KafkaError(.unknown, error.description)
        }
    }

    /// Sends a record; `completion` is called once, on the producer's thread.
    ///
    /// - Throws: `KafkaError` when librdkafka does not take the record; `completion` is then not called.
    package func send(
        topic: String, key: [UInt8]?, value: [UInt8]?, timestamp: Int64,
        headers: [(name: String, value: [UInt8]?)] = [], partition: Int32? = nil,
        completion: @escaping @Sendable (DeliveryReport) -> Void
    ) throws(KafkaError) {
        let result = core.state.withLock { state -> Result<Void, KafkaError> in
            do throws(KafkaError) {
                guard !state.isStopping else { throw KafkaError(.destroyed, "the producer is closed") }
                let handle: Producer.Topic
                if let known = state.topics[topic] { handle = known } else { handle = try core.producer.topic(topic) }
                state.topics[topic] = handle
                var list = RecordHeaders(capacity: headers.count)
                for header in headers { list.add(header.name, header.value) }
                let opaque = state.next
                state.next += 1
                let error = key.withBytes { key in
                    value.withBytes { value in
                        core.producer.produce(
                            to: handle, key: key, value: value, timestamp: timestamp, headers: &list,
                            partition: partition, opaque: opaque)
                    }
                }
                if let error { throw KafkaError(error) }
                state.waiters[opaque] = completion
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    /// Sends a record and waits for the broker's acknowledgement.
    package func send(
        topic: String, key: [UInt8]?, value: [UInt8]?, timestamp: Int64,
        headers: [(name: String, value: [UInt8]?)] = [], partition: Int32? = nil
    ) async throws(KafkaError) -> DeliveryReport {
        let result: Result<DeliveryReport, KafkaError> = await withCheckedContinuation { continuation in
            do throws(KafkaError) {
                try send(
                    topic: topic, key: key, value: value, timestamp: timestamp, headers: headers, partition: partition
                ) { continuation.resume(returning: .success($0)) }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        return try result.get()
    }

    /// Lets the client fail for good, as a broker's answer can: for tests.
    package func injectFatalError(_ code: KafkaError.Code, _ reason: String) {
        core.producer.injectFatalError(code, reason)
    }

    /// Waits until every record has its report, and ends. Blocks; records that cannot be delivered end with their
    /// timeout. A second call does nothing.
    package func close() {
        let thread = self.thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        guard let thread else { return }
        stop()
        thread.join()
    }

    /// The same, but gives up after a time: records that have no report by then are purged, and the client ends on its
    /// own thread.
    ///
    /// - Parameter timeout: How long this may block, in milliseconds.
    package func close(timeout: Int32) {
        let thread = self.thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        guard let thread else { return }
        stop()
        guard let hasEnded = try? StopSignal(),
            (try? NamedThread(
                "kafka-end",
                {
                    thread.join()
                    hasEnded.set()
                })) != nil
        else {
            purge()
            return
        }
        if !hasEnded.wait(milliseconds: timeout) { purge() }
    }

    /// Gives up every record that has no report yet; the reports follow, each with an error. Does not block.
    package func purge() {
        core.state.withLock { state in if !state.hasEnded { core.producer.purge() } }
    }

    private func stop() {
        core.state.withLock { state in
            // Under the lock, for a thread that hears of the end by itself may be gone before it is woken.
            state.isStopping = true
            if !state.hasEnded { core.producer.wakeThread() }
        }
    }
}

extension Optional<[UInt8]> {
    /// The bytes for the time of a call; nil stays nil.
    fileprivate func withBytes<R>(_ body: (UnsafeRawBufferPointer?) -> R) -> R {
        switch self {
        case nil: body(nil)
        case .some(let bytes): bytes.withUnsafeBytes { body($0) }
        }
    }
}
