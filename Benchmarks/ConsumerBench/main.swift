// What `scripts/bench consumer` measures: fills a topic with events, and handles them.
//
//     ConsumerBench fill   BOOTSTRAP PREFIX COUNT NUMBERS [FIRST [FIRST_NUMBER]]
//     ConsumerBench handle BOOTSTRAP PREFIX COUNT CONCURRENCY SLEEP_MICROSECONDS [1]
//     ConsumerBench replay BOOTSTRAP PREFIX COUNT CONCURRENCY
//
// `handle` prints one line of JSON: seconds between the first event and the last, CPU seconds in that time, events.
// With a 1 at the end the handler reads four texts of each event.
import SMSBridgeKafka
import SMSPortalConsumer
import SMSPortalEvents
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

func seconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func monotonicSeconds() -> Double { seconds(CLOCK_MONOTONIC) }
func cpuSeconds() -> Double { seconds(CLOCK_PROCESS_CPUTIME_ID) }

func fail(_ text: String) -> Never {
    let line = Array("ConsumerBench: \(text)\n".utf8)
    _ = write(2, line, line.count)
    exit(2)
}

/// Delivery statuses as the vendor posts them, to so many numbers in turn.
func fill(
    _ servers: String, prefix: String, count: Int, numbers: Int, first: Int = 0, firstNumber: Int = 0
) throws {
    var configuration = ProducerConfiguration(client: ClientConfiguration(bootstrapServers: servers))
    configuration.lingerMilliseconds = 20
    configuration.messageTimeoutMilliseconds = 120_000
    configuration.maxQueuedMessages = 200_000
    let producer = try ProducerThread(configuration)
    let failed = Atomic(0)
    let reported = Atomic(0)
    let decoder = try CallbackDecoder(DecoderConfiguration())
    // Today's, for a topic drops what is older than it keeps.
    let now = Int64(seconds(CLOCK_REALTIME) * 1_000)
    for index in first..<first + count {
        let body = """
            {"EventId":"\(4_000_000 + index / 100)","Id":"\(900_000_000_000 + index)","Status":"DELIVRD",\
            "PhoneNumber":"2782\(1_000_000 + firstNumber + index % numbers)","UserReference":"order-\(index)",\
            "ReceivedUtc":"2026-11-20T10:00:00Z","Mcc":"655","Mnc":"01"}
            """
        let record = decoder.event(
            from: Callback(
                method: .post, route: .deliveryStatus, contentType: "application/json", body: Array(body.utf8)),
            receivedAt: EventTime(millisecondsSinceEpoch: now)
        ).record()
        while index - first - reported.load(ordering: .relaxed) > 100_000 { usleep(1_000) }
        try producer.send(
            topic: record.topic.name(prefix: prefix), key: record.key, value: record.value,
            timestamp: record.timestamp.millisecondsSinceEpoch, headers: record.headers.map { ($0.name, $0.value) }
        ) { report in
            if report.error != nil { failed.wrappingAdd(1, ordering: .relaxed) }
            reported.wrappingAdd(1, ordering: .relaxed)
        }
    }
    producer.close()
    if failed.load(ordering: .relaxed) > 0 { fail("\(failed.load(ordering: .relaxed)) events were not written") }
}

final class Progress: Sendable {
    let count = Atomic(0)
    let began = Mutex<(time: Double, cpu: Double)?>(nil)
    let ended = Mutex<(time: Double, cpu: Double)?>(nil)
}

/// - Parameters:
///   - isReplay: through a replay of everything, and not as a member of a group.
///   - reads: whether the handler reads four texts.
func handle(
    _ servers: String, prefix: String, count: Int, concurrency: Int, sleep: Int, isReplay: Bool = false,
    reads: Bool = false
) async throws {
    var configuration = EventConsumer.Configuration(bootstrapServers: servers, group: "bench-\(getpid())")
    configuration.topicPrefix = prefix
    configuration.concurrency = concurrency
    configuration.failure.finally = .stop
    configuration.undecodable = .stop
    configuration.log = .standardError(level: .warning)
    let progress = Progress()
    let consumer = EventConsumer(configuration: configuration)
    consumer.onDeliveryStatus { status, _ in
        if reads {
            let texts = [status.msisdn, status.status, status.reference, status.messageID]
            if texts.contains(where: { $0?.isEmpty ?? true }) { fail("an event without texts") }
        }
        if sleep > 0 { try await Task.sleep(for: .microseconds(sleep)) }
        let place = progress.count.wrappingAdd(1, ordering: .relaxed).newValue
        if place == 1 { progress.began.withLock { $0 = (monotonicSeconds(), cpuSeconds()) } }
        if place == count {
            progress.ended.withLock { $0 = (monotonicSeconds(), cpuSeconds()) }
            consumer.shutdown()
        }
    }
    if isReplay {
        try await Replay("bench", of: consumer, from: .earliest).run()
    } else {
        try await consumer.run()
    }
    guard let began = progress.began.withLock({ $0 }), let ended = progress.ended.withLock({ $0 }) else {
        fail("ended before all events were handled")
    }
    print(
        "{\"seconds\": \(ended.time - began.time), \"cpu\": \(ended.cpu - began.cpu), \"records\": \(count)}")
}

/// Runs to its end beside the main thread, which would end itself otherwise: valgrind does not survive that.
func runToTheEnd(_ body: @escaping @Sendable () async throws -> Void) -> Never {
    Task.detached {
        do { try await body() } catch { fail("\(error)") }
        exit(0)
    }
    while true { pause() }
}

let arguments = Array(CommandLine.arguments.dropFirst())
switch arguments.first {
case "fill" where (5...7).contains(arguments.count):
    try fill(
        arguments[1], prefix: arguments[2], count: Int(arguments[3]) ?? 0, numbers: Int(arguments[4]) ?? 1,
        first: arguments.count > 5 ? Int(arguments[5]) ?? 0 : 0,
        firstNumber: arguments.count > 6 ? Int(arguments[6]) ?? 0 : 0)
case "handle" where (6...7).contains(arguments.count):
    let given = arguments
    runToTheEnd {
        try await handle(
            given[1], prefix: given[2], count: Int(given[3]) ?? 0, concurrency: Int(given[4]) ?? 64,
            sleep: Int(given[5]) ?? 0, reads: given.count > 6 && given[6] == "1")
    }
case "replay" where arguments.count == 5:
    let given = arguments
    runToTheEnd {
        try await handle(
            given[1], prefix: given[2], count: Int(given[3]) ?? 0, concurrency: Int(given[4]) ?? 64, sleep: 0,
            isReplay: true)
    }
default: fail("fill BOOTSTRAP PREFIX COUNT NUMBERS | handle BOOTSTRAP PREFIX COUNT CONCURRENCY SLEEP_MICROSECONDS [1]")
}
