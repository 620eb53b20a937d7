import FoundationEssentials
import Synchronization
import Testing

@testable import SMSBridgeTelemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Lines that a test's sink was given.
final class Lines: Sendable {
    private let kept = Mutex<[String]>([])
    var all: [String] { kept.withLock { $0 } }
    func add(_ line: String) { kept.withLock { $0.append(line) } }
}

/// A pipe whose writing end is a log's standard error.
struct TestPipe {
    let reading: Int32
    let writing: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        reading = ends[0]
        writing = ends[1]
    }

    /// Fills it so that the next write waits.
    func fill() {
        let flags = fcntl(writing, F_GETFL)
        _ = fcntl(writing, F_SETFL, flags | O_NONBLOCK)
        let block = [UInt8](repeating: UInt8(ascii: "#"), count: 4_096)
        while write(writing, block, block.count) > 0 {}
        while write(writing, block, 1) > 0 {}
        _ = fcntl(writing, F_SETFL, flags & ~O_NONBLOCK)
    }

    /// Reads until the text ends with what is expected, or nothing comes for five seconds.
    func read(until end: (String) -> Bool) -> String {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            var waiting = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 5_000) > 0 else { break }
            let got = systemRead(reading, &block, block.count)
            if got <= 0 { break }
            bytes.append(contentsOf: block[..<got])
            if end(String(decoding: bytes, as: UTF8.self)) { break }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

private func systemRead(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, bytes, count)
}

@Suite struct LogTests {
    private func line(
        _ format: LogFormat, _ message: String, _ fields: LogFields = [:], label: String = "",
        level: LogLevel = .info
    ) -> String {
        let bytes = LogLine.build(
            format, at: (1_767_323_045, 7), level: level, label: label, message: message, fields: fields)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func linesReachAnotherLogBeforeTheyAreText() {
        let kept = Mutex<[String]>([])
        let sink = LogSink(level: .warning) { entry in
            let fields = entry.fields.pairs.map { "\($0.name)=\($0.value)" }.joined(separator: " ")
            kept.withLock { $0.append("\(entry.level) \(entry.label) \(entry.message) \(fields)") }
        }
        let log = Logger(label: "consumer", sink: sink)
        log.info("below the level")
        log.warning("line\nbreak", ["count": 3, "topics": ["a", "b"]])
        #expect(
            kept.withLock { $0 } == [
                "warning consumer line\nbreak count=integer(3) topics=list([\"a\", \"b\"])"
            ])
    }

    @Test func textLines() {
        #expect(
            line(
                .text, "listening",
                ["port": UInt16(8080), "host": "0.0.0.0", "why": "two words", "empty": "", "ok": true, "x": 0.5])
                == "time=2026-01-02T03:04:05.007Z level=info message=\"listening\" port=8080 host=0.0.0.0 why=\"two words\" empty=\"\" "
                + "ok=true x=0.5\n")
        #expect(
            line(.text, "lost", ["brokers": ["a:1", "b:2"]], label: "kafka", level: .warning)
                == "time=2026-01-02T03:04:05.007Z level=warning logger=kafka message=\"lost\" brokers=a:1,b:2\n")
    }

    @Test func jsonLines() {
        #expect(
            line(
                .json, "say \"hi\"",
                [
                    "n": -3, "big": UInt64.max, "d": Duration.milliseconds(1500), "inf": Double.infinity,
                    "l": ["a", "b"],
                ],
                label: "http", level: .error)
                == #"{"time":"2026-01-02T03:04:05.007Z","level":"error","message":"say \"hi\"","logger":"http","#
                + #""n":-3,"big":18446744073709551615,"d":1.5,"inf":"inf","l":["a","b"]}"# + "\n")
        #expect(
            line(.json, "m", ["time": "t", "a": 1, "a": 2, "none": [String]()])
                == #"{"time":"2026-01-02T03:04:05.007Z","level":"info","message":"m","time_":"t","a":1,"a_":2,"none":[]}"#
                + "\n")
    }

    /// Names and values, by a parser that allows nothing but `name=word` and `name="JSON string"`, one blank apart.
    @Test func textLinesAreStrictLogfmt() throws {
        var evil = (1...0x7F).map { String(Unicode.Scalar(UInt8($0))) }.joined() + "é 😀 \u{202E}"
        evil += String(repeating: "x", count: LogLine.maximumValueBytes)
        for value in ["", " ", "=", "\"", "\\", "a=b", "a b", "\u{202E}", "é", "\"\"", "\\n", evil] {
            for name in ["a", "lowered to", "a=b", "\"", "", "é", "a\nb"] {
                let text = line(
                    .text, value, [name: value, "a": [value, value], "n": -1, "message": value], label: value)
                let pairs = try Logfmt.parse(text)
                #expect(pairs.first?.name == "time" && pairs.contains { $0.name == "level" && $0.value == "info" })
                #expect(pairs.contains { $0.name == "message_" } && Set(pairs.map(\.name)).count == pairs.count)
                if value.utf8.count < LogLine.maximumValueBytes {
                    #expect(pairs.first { $0.name == "message" }?.value == value)
                }
            }
        }
    }

    @Test func aLineForATerminalIsPlain() {
        let entry = LogEntry(
            level: .warning, label: "kafka", message: "not \"here\"\u{1B}[1m", fields: ["reason": "two words", "n": 1])
        #expect(entry.plainText == "warning: kafka: not \"here\"\\u001b[1m reason=\"two words\" n=1")
    }

    @Test(arguments: LogFormat.allCases)
    func nothingFromOutsideEndsALineOrSpeaksToATerminal(format: LogFormat) throws {
        var evil = (0...0x1F).map { Character(Unicode.Scalar(UInt8($0))) }.map(String.init).joined()
        evil += "\u{7F}\u{85}\u{9B}31m\u{2028}\u{2029}\u{202E}\u{2066}\u{200F}\u{FEFF}\"\\ é 😀"
        let text = line(format, evil, ["k": evil, "k\n\u{1B}": "v"], label: evil)
        #expect(text.unicodeScalars.filter { $0 == "\n" }.count == 1)
        #expect(text.hasSuffix("\n"))
        let forbidden = text.unicodeScalars.dropLast().filter {
            $0.value < 0x20 || (0x7F...0x9F).contains($0.value) || (0x2028...0x202E).contains($0.value)
                || (0x2066...0x2069).contains($0.value) || $0.value == 0x200F || $0.value == 0xFEFF
        }
        #expect(forbidden.isEmpty)
        #expect(text.contains("é 😀"))
        if format == .json {
            struct Line: Decodable { var message: String; var k: String }
            let decoded = try JSONDecoder().decode(Line.self, from: Data(text.utf8))
            #expect(decoded.message == evil && decoded.k == evil)
        }
    }

    @Test func aLongValueIsCut() {
        let text = line(.text, "m", ["v": String(repeating: "é", count: 10_000), "after": 1])
        #expect(text.utf8.count < 8_400)
        #expect(text.hasSuffix("… (cut)\" after=1\n"))
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (951_782_399, "2000-02-28T23:59:59.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"), (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.000Z"),
        (1_798_761_599, "2026-12-31T23:59:59.000Z"),
    ])
    func timestamps(seconds: Int64, text: String) {
        #expect(LogLine.timestamp((seconds, 0)) == text)
    }

    @Test func levelsSelectLinesAndWhatIsNotWrittenIsNotEvaluated() {
        let lines = Lines()
        let sink = LogSink(level: .info) { lines.add($0) }
        let log = Logger(label: "x", sink: sink)
        func costly() -> String {
            Issue.record("evaluated")
            return ""
        }
        log.debug("no \(costly())", ["a": costly()])
        log.info("one")
        sink.setLevel(.error)
        log.warning("no")
        log.error("two", ["a": 1])
        sink.setLevel(.trace)
        log.labelled("y").trace("three")
        #expect(
            lines.all.map { $0.dropFirst(30) } == [
                "level=info logger=x message=\"one\"", "level=error logger=x message=\"two\" a=1",
                "level=trace logger=y message=\"three\"",
            ])
        LogSink.discarding.setLevel(.trace)
        Logger(sink: .discarding).error("\(costly())")
    }

    @Test func repeatedMessagesAreCountedInstead() {
        let lines = Lines()
        let log = Logger(sink: LogSink { lines.add($0) })
        let guardian = RepeatGuard(interval: .seconds(3_600))
        for _ in 0..<5 { log.log(.error, onceIn: guardian, key: "down", "broker down") }
        log.log(.error, onceIn: guardian, key: "other", "other")
        #expect(guardian.reset("down") == 4)
        #expect(guardian.reset("down") == nil)
        log.log(.error, onceIn: guardian, key: "down", "broker down")
        #expect(
            lines.all.map { $0.dropFirst(42) } == [
                "message=\"broker down\"", "message=\"other\"", "message=\"broker down\"",
            ])
        let timed = RepeatGuard(interval: .seconds(10), capacity: 2)
        let second: UInt64 = 1_000_000_000
        #expect(timed.admit("a", now: 0) == 0)
        #expect(timed.admit("a", now: 5 * second) == nil)
        #expect(timed.admit("a", now: 10 * second - 1) == nil)
        #expect(timed.admit("a", now: 10 * second) == 2)
        #expect(timed.admit("b", now: 11 * second) == 0)
        #expect(timed.admit("c", now: 12 * second) == 0)  // forgets a
        #expect(timed.admit("b", now: 12 * second) == nil)
        #expect(timed.admit("a", now: 13 * second) == 0)
    }

    @Test func linesArriveInOrderAndFlushWaitsForThem() throws {
        let pipe = try TestPipe()
        let sink = LogSink(descriptor: pipe.writing, format: .auto)
        close(pipe.writing)  // the sink has its own
        let log = Logger(sink: sink)
        for number in 0..<200 { log.info("line", ["number": number]) }
        #expect(sink.flush(timeout: .seconds(5)))
        let text = pipe.read { $0.contains("\"number\":199}\n") }
        #expect(text.split(separator: "\n").enumerated().allSatisfy { $1.hasSuffix("\"number\":\($0)}") })
        #expect(sink.dropped == 0)
        #expect(sink.flush(timeout: .zero))
        close(pipe.reading)
    }

    @Test func aFullPipeStopsNobodyAndTheGapIsTold() throws {
        let pipe = try TestPipe()
        pipe.fill()
        let sink = LogSink(descriptor: pipe.writing, format: .text, maximumLines: 100, maximumBytes: 1 << 20)
        let registry = MetricRegistry()
        sink.addMetrics(to: registry)
        let log = Logger(sink: sink)
        let start = monotonicNow()
        for number in 0..<1_000 { log.info("line", ["number": number]) }
        #expect(monotonicNow() - start < 2_000_000_000)
        #expect(sink.dropped == 900)
        #expect(!sink.flush(timeout: .milliseconds(50)))
        #expect(monotonicNow() - start < 4_000_000_000)
        #expect(try ExpositionParser.parse(registry.render()).value("smsbridge_log_dropped_total") == 900)
        // Once somebody reads, the queue comes and, wherever there was a gap, how many lines are missing: no line has
        // to come for that.
        func told(_ text: String) -> Int {
            text.split(separator: "\n").compactMap { Int($0.split(separator: "log lines dropped\" count=").last ?? "") }
                .reduce(0, +)
        }
        let text = pipe.read { $0.hasSuffix("\n") && told($0) == 900 }
        let lines = text.split(separator: "\n").map { $0.split(separator: "message=").last ?? "" }
        #expect(lines.filter { $0.hasPrefix("\"line\" ") } == (0..<100).map { "\"line\" number=\($0)"[...] })
        #expect(told(text) == 900 && lines.last?.hasPrefix("\"log lines dropped") == true)
        log.info("again")
        #expect(sink.flush(timeout: .seconds(5)))
        #expect(pipe.read { $0.hasSuffix("again\"\n") }.hasSuffix("message=\"again\"\n"))
        #expect(sink.dropped == 900)
        close(pipe.reading)
        close(pipe.writing)
    }

    @Test func bytesAreBoundedToo() throws {
        let pipe = try TestPipe()
        pipe.fill()
        let sink = LogSink(descriptor: pipe.writing, format: .text, maximumLines: 1_000, maximumBytes: 10_000)
        let log = Logger(sink: sink)
        let long = String(repeating: "x", count: 4_000)
        for _ in 0..<5 { log.info(long) }
        #expect(sink.dropped == 3)
        log.info("short")
        #expect(sink.dropped == 3)
        close(pipe.reading)
        close(pipe.writing)
        #expect(sink.flush(timeout: .seconds(5)))
    }

    @Test func aLineLongerThanTheQueueIsDroppedAndTold() throws {
        let pipe = try TestPipe()
        let sink = LogSink(descriptor: pipe.writing, format: .text, maximumBytes: 200)
        let log = Logger(sink: sink)
        log.info("short")
        #expect(sink.flush(timeout: .seconds(5)))
        usleep(50_000)  // until the thread sleeps
        log.info(String(repeating: "x", count: 200))
        #expect(sink.flush(timeout: .seconds(5)))
        #expect(pipe.read { $0.hasSuffix("count=1\n") }.hasSuffix("message=\"log lines dropped\" count=1\n"))
        close(pipe.reading)
        close(pipe.writing)
    }

    @Test func aFileThatHasRoomAgainGetsTheLinesAndTheGap() async {
        await #expect(processExitsWith: .exitCode(7)) {
            signal(SIGXFSZ, SIG_IGN)
            let path = TemporaryPath.unique("log")
            let file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
            let sink = LogSink(descriptor: file, format: .text)
            let log = Logger(sink: sink)
            func limit(_ bytes: rlim_t) {
                var limit = rlimit(rlim_cur: bytes, rlim_max: rlim_t(1) << 40)
                #if canImport(Glibc)
                setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
                #else
                setrlimit(RLIMIT_FSIZE, &limit)
                #endif
            }
            log.info("first")
            sink.flush(timeout: .seconds(5))
            limit(58)
            for _ in 0..<3 {
                log.info("lost")
                sink.flush(timeout: .seconds(5))
            }
            limit(rlim_t(1) << 30)
            log.info("second")
            sink.flush(timeout: .seconds(5))
            let text = String(decoding: readSmallFile(path) ?? [], as: UTF8.self)
            unlink(path)
            // The first lost line is there up to the limit.
            let isRight =
                text.contains("message=\"second\"\n") && text.contains("\"first\"\n")
                && text.hasSuffix("message=\"log lines dropped\" count=3\n") && sink.dropped == 3
            exit(isRight ? 7 : 1)
        }
    }

    @Test func aReaderWhoLeavesIsSurvived() throws {
        ignoreWriteSignals()
        let pipe = try TestPipe()
        let sink = LogSink(descriptor: pipe.writing, format: .text)
        close(pipe.writing)
        close(pipe.reading)
        let log = Logger(sink: sink)
        for _ in 0..<10 { log.info("into nothing") }
        #expect(sink.flush(timeout: .seconds(5)))
        #expect(sink.dropped == 10)
        for _ in 0..<10 { log.info("into nothing") }
        #expect(sink.flush(timeout: .seconds(5)))
        #expect(sink.dropped == 20)
    }

    @Test func aClosedDescriptorIsSurvived() {
        let sink = LogSink(descriptor: 9_999, format: .json)
        Logger(sink: sink).error("into nothing")
        #expect(sink.flush(timeout: .seconds(5)))
        #expect(sink.dropped == 1)
    }

    @Test func aNonBlockingDescriptorLosesNothing() throws {
        let pipe = try TestPipe()
        _ = fcntl(pipe.writing, F_SETFL, O_NONBLOCK)
        let sink = LogSink(descriptor: pipe.writing, format: .text, maximumBytes: 10 << 20)
        close(pipe.writing)
        let log = Logger(sink: sink)
        let long = String(repeating: "x", count: 1_000)
        for _ in 0..<1_000 { log.info(long) }
        log.info("end")
        let text = pipe.read { $0.hasSuffix("\"end\"\n") }
        #expect(text.utf8.count > 1_000_000 && text.hasSuffix("\"end\"\n"))
        #expect(sink.dropped == 0)
        close(pipe.reading)
    }

    @Test func aFullDiskIsSurvived() {
        let full = open("/dev/full", O_WRONLY)
        guard full >= 0 else { return }  // Linux only
        let sink = LogSink(descriptor: full, format: .text)
        close(full)
        Logger(sink: sink).error("no room")
        #expect(sink.flush(timeout: .seconds(5)))
        #expect(sink.dropped == 1)
    }

    @Test func theSinkEndsItsThreadWhenItGoes() throws {
        let pipe = try TestPipe()
        do {
            let sink = LogSink(descriptor: pipe.writing, format: .text)
            close(pipe.writing)
            Logger(sink: sink).info("last words")
        }
        // The thread writes what waits, then closes its descriptor: the end of the file is read.
        #expect(pipe.read { _ in false }.hasSuffix("\"last words\"\n"))
        var waiting = pollfd(fd: pipe.reading, events: Int16(POLLIN), revents: 0)
        #expect(poll(&waiting, 1, 0) == 1 && waiting.revents & Int16(POLLHUP) != 0)
        close(pipe.reading)
    }

    @Test func aProcessWithoutStandardErrorSurvives() async {
        await #expect(processExitsWith: .exitCode(7)) {
            ignoreWriteSignals()
            close(2)
            openStandardDescriptors()
            let sink = LogSink()
            for _ in 0..<100 { Logger(sink: sink).error("nobody listens") }
            sink.flush(timeout: .seconds(1))
            // Nothing that is opened later may be taken for standard error.
            exit(open("/dev/null", O_RDONLY) > 2 ? 7 : 1)
        }
    }
}
