// A consumer to be killed: `scripts/chaos --only consumer-group` runs several of it and judges what they write down.
//
//     ConsumerProbe BOOTSTRAP GROUP PREFIX FILE [OPTION VALUE…]
//
// A line of FILE for each delivery status that was handled, in one write each: process id, partition, offset, number,
// reference, monotonic milliseconds. SIGTERM is `shutdown()`; SIGUSR1 prints the metrics, as the end does.
import Dispatch
import SMSPortalConsumer
import SMSPortalEvents
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

let usage = """
    ConsumerProbe BOOTSTRAP GROUP PREFIX FILE [OPTION VALUE…]
      --work MS            how long each event takes (0)
      --concurrency N      handlers at once (16)
      --commit-interval MS between commits (1000)
      --fail-key NUMBER    its events always fail: three attempts, 10 ms and 20 ms apart, then the dead letters
      --attempts N         of an event that fails (3)
      --backoff MS         before the second attempt (10)
      --sleep-key NUMBER   its events take as long as --sleep says
      --sleep SECONDS      (60)
      --sleep-ms MS        the same in milliseconds
      --start-at latest    a group without positions begins at the end (earliest)
      --shutdown-timeout MS  after SIGTERM (20000)
      --handle reply       a handler for replies in place of the one for delivery statuses
      --replay NAME        replays everything under this name, and ends by itself
      --stop-after N       stops the replay when so many events have been handled
      --skip-deleted yes   the replay goes on after deleted events
      --property NAME=VALUE of librdkafka; may be given several times
    """

struct Failing: Error {}

struct Options {
    var work = Duration.zero
    var concurrency = 16
    var commitInterval = Duration.seconds(1)
    var failKey: String?
    var attempts = 3
    var backoff = Duration.milliseconds(10)
    var sleepKey: String?
    var sleep = Duration.seconds(60)
    var replay: String?
    var startsAtEnd = false
    var shutdownTimeout = Duration.seconds(20)
    var handlesReplies = false
    var stopAfter: Int?
    var skipsDeleted = false
    var properties: [String: String] = [:]

    /// - Parameter arguments: Names and values in turn.
    /// - Returns: nil for what is no option.
    init?(_ arguments: ArraySlice<String>) {
        guard arguments.count.isMultiple(of: 2) else { return nil }
        for index in stride(from: arguments.startIndex, to: arguments.endIndex, by: 2) {
            let value = arguments[index + 1]
            let number = Int(value)
            switch (arguments[index], number) {
            case ("--work", let number?): work = .milliseconds(number)
            case ("--concurrency", let number?): concurrency = number
            case ("--commit-interval", let number?): commitInterval = .milliseconds(number)
            case ("--sleep", let number?): sleep = .seconds(number)
            case ("--sleep-ms", let number?): sleep = .milliseconds(number)
            case ("--fail-key", _): failKey = value
            case ("--attempts", let number?): attempts = number
            case ("--backoff", let number?): backoff = .milliseconds(number)
            case ("--sleep-key", _): sleepKey = value
            case ("--replay", _): replay = value
            case ("--start-at", _) where ["latest", "earliest"].contains(value): startsAtEnd = value == "latest"
            case ("--shutdown-timeout", let number?): shutdownTimeout = .milliseconds(number)
            case ("--handle", _) where value == "reply": handlesReplies = true
            case ("--stop-after", let number?): stopAfter = number
            case ("--skip-deleted", _): skipsDeleted = value == "yes"
            case ("--property", _):
                let parts = value.split(separator: "=", maxSplits: 1).map(String.init)
                guard parts.count == 2 else { return nil }
                properties[parts[0]] = parts[1]
            default: return nil
            }
        }
    }
}

func fail(_ text: String) -> Never {
    let line = Array("\(text)\n".utf8)
    _ = write(2, line, line.count)
    exit(2)
}

func monotonicMilliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

let arguments = CommandLine.arguments
guard arguments.count >= 5, let options = Options(arguments[5...]) else { fail(usage) }
let ledger = open(arguments[4], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
guard ledger >= 0 else { fail("\(arguments[4]) cannot be opened: \(String(cString: strerror(errno)))") }
let process = getpid()

var configuration = EventConsumer.Configuration(bootstrapServers: arguments[1], group: arguments[2])
configuration.topicPrefix = arguments[3]
configuration.concurrency = options.concurrency
configuration.commitInterval = options.commitInterval
configuration.kafkaProperties = options.properties
configuration.startAt = options.startsAtEnd ? .latest : .earliest
configuration.shutdownTimeout = options.shutdownTimeout
configuration.failure = FailurePolicy(
    maxAttempts: options.attempts, backoff: RetryBackoff(initial: options.backoff), finally: .deadLetter)
let metrics = configuration.metrics
let handled = Atomic(0)
let replay = Mutex<Replay?>(nil)

let consumer = EventConsumer(configuration: configuration)
if options.handlesReplies {
    consumer.onReply { _, _ in }
} else {
    consumer.onDeliveryStatus { status, context in
        let number = status.msisdn ?? "-"
        if number == options.failKey { throw Failing() }
        let time = number == options.sleepKey ? options.sleep : options.work
        if time > .zero { try await Task.sleep(for: time) }
        let line = Array(
            "\(process) \(context.partition) \(context.offset) \(number) \(status.reference ?? "-") \(monotonicMilliseconds())\n"
                .utf8)
        // One write appends a whole line, whoever else appends.
        guard write(ledger, line, line.count) == line.count else { fail("the ledger takes no line") }
        if handled.wrappingAdd(1, ordering: .relaxed).newValue == options.stopAfter {
            replay.withLock { $0?.stop() }
        }
    }
}

func tell() {
    print("\(metrics.prometheusText())# end")
    fflush(nil)
}

let sources = [SIGTERM, SIGUSR1].map { number in
    signal(number, SIG_IGN)
    let source = DispatchSource.makeSignalSource(signal: number, queue: .main)
    source.setEventHandler {
        guard number == SIGTERM else { return tell() }
        consumer.shutdown()
        replay.withLock { $0?.stop() }
    }
    source.resume()
    return source
}
if let name = options.replay {
    var selection = Replay.Selection(from: .earliest)
    selection.skipsDeleted = options.skipsDeleted
    let run = Replay(name, of: consumer, selection)
    replay.withLock { $0 = run }
    print(try await run.run())
} else {
    try await consumer.run()
}
tell()
withExtendedLifetime(sources) {}
