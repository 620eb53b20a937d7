internal import SMSBridgeThreads
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// The queue and the thread of a `LogSink`.
///
/// The thread sleeps in `read` on a pipe of its own, and callers write a byte to it only when it sleeps. A caller that
/// waits for a flush sleeps in `poll` on a second one. Pipes rather than a condition variable: descriptors are plain
/// numbers, so nothing here needs an unchecked promise to be Sendable.
final class LogWriter: Sendable {
    private struct State {
        /// Lines that wait, end to end.
        var bytes: [UInt8] = []
        var lines = 0
        /// What the thread is writing now; it counts against the bounds too.
        var writingBytes = 0
        var writingLines = 0
        /// Lines dropped because the queue was full, not logged yet; logged as soon as the thread can write.
        var untold: UInt64 = 0
        /// Lines that could not be written. Logged with the next line only, to avoid endless retries.
        var unwritten: UInt64 = 0
        var accepted: UInt64 = 0
        var finished: UInt64 = 0
        var flushTarget: UInt64?
        var asleep = false
        var closed = false

        func isDrained(to target: UInt64) -> Bool { finished >= target && untold == 0 }
    }

    private struct Pipe {
        let reading: Int32
        let writing: Int32
    }

    private let state = Mutex(State())
    private let dropped = Atomic<UInt64>(0)
    private let maximumLines: Int
    private let maximumBytes: Int
    private let dropLine: @Sendable (UInt64) -> [UInt8]
    private let descriptor: Int32
    private let wake: Pipe
    private let drained: Pipe

    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    init(
        descriptor: Int32, maximumLines: Int, maximumBytes: Int, dropLine: @escaping @Sendable (UInt64) -> [UInt8]
    ) {
        self.maximumLines = maximumLines
        self.maximumBytes = maximumBytes
        self.dropLine = dropLine
        // A descriptor of its own: if standard error is closed, its number may be reused for a socket.
        self.descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        wake = Self.makePipe()
        drained = Self.makePipe()
        let usable = wake.reading >= 0 && drained.reading >= 0
        if !usable || (try? NamedThread("log", { self.run() })) == nil {
            // Out of descriptors or threads before anything began: lines are counted as dropped.
            state.withLock { $0.closed = true }
            closeDescriptors()
        }
    }

    var droppedLines: UInt64 { dropped.load(ordering: .relaxed) }

    func append(_ line: [UInt8]) {
        let mustWake = state.withLock { state in
            guard !state.closed, state.lines + state.writingLines < maximumLines,
                state.bytes.count + state.writingBytes + line.count <= maximumBytes
            else {
                state.untold &+= 1
                dropped.wrappingAdd(1, ordering: .relaxed)
                // The thread may sleep: a line longer than the whole queue is dropped from an empty one.
                defer { state.asleep = false }
                return state.asleep
            }
            state.bytes.append(contentsOf: line)
            state.lines += 1
            state.accepted &+= 1
            defer { state.asleep = false }
            return state.asleep
        }
        if mustWake { Self.signal(wake) }
    }

    /// Ends the thread once it has written the queued lines. Nothing may be appended afterwards.
    func close() {
        let mustWake = state.withLock { state in
            if state.closed { return false }
            state.closed = true
            defer { state.asleep = false }
            return state.asleep
        }
        if mustWake { Self.signal(wake) }
    }

    func flush(timeout: Duration) -> Bool {
        let (sum, overflow) = monotonicNow().addingReportingOverflow(timeout.nanoseconds)
        let deadline = overflow ? .max : sum
        let mustWait = state.withLock { state in
            if state.isDrained(to: state.accepted) || state.closed { return false }
            state.flushTarget = state.accepted
            return true
        }
        if !mustWait { return true }
        var isDrained = false
        while !isDrained {
            let now = monotonicNow()
            if now >= deadline { break }
            var waiting = pollfd(fd: drained.reading, events: Int16(POLLIN), revents: 0)
            _ = poll(&waiting, 1, Int32(clamping: (deadline - now) / 1_000_000 + 1))
            isDrained = state.withLock { $0.flushTarget == nil }
        }
        state.withLock { $0.flushTarget = nil }
        Self.swallow(drained)
        return isDrained
    }

    private func run() {
        var batch: [UInt8] = []
        while true {
            var told: UInt64 = 0
            var lines = 0
            let next: Bool? = state.withLock { state in
                if state.lines == 0 && state.untold == 0 {
                    if state.closed { return nil }
                    state.asleep = true
                    return false
                }
                batch.removeAll(keepingCapacity: true)
                swap(&batch, &state.bytes)
                lines = state.lines
                told = state.untold &+ state.unwritten
                state.lines = 0
                state.untold = 0
                state.unwritten = 0
                state.writingBytes = batch.count
                state.writingLines = lines
                return true
            }
            guard let hasBatch = next else { break }
            if !hasBatch {
                Self.waitFor(wake)
                continue
            }
            // Lines are dropped while the queue is full, so the gap is behind what was in it.
            if told > 0 { batch.append(contentsOf: dropLine(told)) }
            var lost = UInt64(write(batch))
            // The line that tells is not one of the callers'.
            let isToldLost = told > 0 && lost > 0
            if isToldLost { lost -= 1 }
            dropped.wrappingAdd(lost, ordering: .relaxed)
            let unwritten = lost > 0 || isToldLost ? lost &+ told : 0
            let mustSignal = state.withLock { state in
                state.writingBytes = 0
                state.writingLines = 0
                state.unwritten &+= unwritten
                state.finished &+= UInt64(lines)
                guard let target = state.flushTarget, state.isDrained(to: target) else { return false }
                state.flushTarget = nil
                return true
            }
            if mustSignal { Self.signal(drained) }
        }
        closeDescriptors()
    }

    /// Writes all of it, waiting as long as the reader does not read.
    ///
    /// - Returns: the lines that were lost because the descriptor is closed or its file system full.
    private func write(_ batch: [UInt8]) -> Int {
        var offset = 0
        while offset < batch.count {
            let written = batch.withUnsafeBytes {
                systemWrite(descriptor, $0.baseAddress! + offset, $0.count - offset)
            }
            if written > 0 {
                offset += written
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN, EWOULDBLOCK:
                // Another process that shares the terminal or pipe made it non-blocking.
                var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                if poll(&waiting, 1, -1) > 0 || errno == EINTR { continue }
            default: break
            }
            return batch[offset...].count { $0 == UInt8(ascii: "\n") }
        }
        return 0
    }

    private func closeDescriptors() {
        for descriptor in [descriptor, wake.reading, wake.writing, drained.reading, drained.writing]
        where descriptor >= 0 {
            systemClose(descriptor)
        }
    }

    private static func makePipe() -> Pipe {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return Pipe(reading: -1, writing: -1) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        return Pipe(reading: ends[0], writing: ends[1])
    }

    private static func signal(_ pipe: Pipe) {
        var byte: UInt8 = 1
        while systemWrite(pipe.writing, &byte, 1) < 0, errno == EINTR {}
    }

    private static func waitFor(_ pipe: Pipe) {
        var byte: UInt8 = 0
        while read(pipe.reading, &byte, 1) < 0, errno == EINTR {}
    }

    /// Takes out what a flush that gave up has left behind.
    private static func swallow(_ pipe: Pipe) {
        var waiting = pollfd(fd: pipe.reading, events: Int16(POLLIN), revents: 0)
        while poll(&waiting, 1, 0) > 0, waiting.revents & Int16(POLLIN) != 0 { waitFor(pipe) }
    }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}

private func systemClose(_ descriptor: Int32) {
    close(descriptor)
}
