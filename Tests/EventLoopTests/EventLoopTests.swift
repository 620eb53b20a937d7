import SMSBridgeEventLoop
import SMSBridgeThreads
import Synchronization
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

@Suite("Event loop")
struct EventLoopTests {
    /// Runs a loop that stops by itself after a minute, so that a fault is a failure and no hang.
    private func run(_ loop: EventLoop) throws {
        let guardian = try loop.timer(after: 60_000_000_000) {
            Issue.record("the loop was not stopped")
            loop.stop()
        }
        loop.run()
        guardian.cancel()
    }

    @Test("a loop is made and destroyed, and refuses work afterwards")
    func life() throws {
        let loop = try EventLoop()
        loop.destroy()
        loop.destroy()
        loop.run()
        loop.soon { Issue.record("ran on a destroyed loop") }
        #expect(throws: EventLoopError.self) { _ = try loop.timer(after: 0) {} }
    }

    @Test("stop before run makes it return at once")
    func stopFirst() throws {
        let loop = try EventLoop()
        loop.stop()
        loop.run()
        loop.destroy()
    }

    @Test("timers fire once, or again and again, and not when cancelled")
    func timers() throws {
        let loop = try EventLoop()
        var once = 0
        var often = 0
        let never = try loop.timer(after: 1_000_000) { Issue.record("a cancelled timer fired") }
        never.cancel()
        never.cancel()
        never.rearm(after: 0)
        _ = try loop.timer(after: 1_000_000) { once += 1 }
        var repeating: LoopTimer?
        repeating = try loop.timer(after: 0, repeating: 1_000_000) {
            often += 1
            if often == 5 {
                repeating?.cancel()
                loop.stop()
            }
        }
        try run(loop)
        #expect(often == 5)
        #expect(once == 1)
        loop.destroy()
    }

    @Test("a timer does not fire before its time, but for libuv's millisecond")
    func timerIsNotEarly() throws {
        let loop = try EventLoop()
        let start = loop.now
        _ = try loop.timer(after: 30_000_000) { loop.stop() }
        try run(loop)
        #expect(loop.now - start >= 29_000_000)
        loop.destroy()
    }

    @Test("a paused timer fires when rearmed, and a rearmed one from then on")
    func rearm() throws {
        let loop = try EventLoop()
        var fired: [String] = []
        let paused = try loop.pausedTimer {
            fired.append("paused")
            loop.stop()
        }
        let moved = try loop.timer(after: 0) { fired.append("moved") }
        moved.rearm(after: 3_600_000_000_000)
        _ = try loop.timer(after: 1_000_000) { paused.rearm(after: 1_000_000) }
        try run(loop)
        #expect(fired == ["paused"])
        loop.destroy()
    }

    @Test("a watched descriptor is told of while bytes wait, and not after the watch is cancelled")
    func descriptor() throws {
        let loop = try EventLoop()
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        var received: [UInt8] = []
        var watch: DescriptorWatch?
        watch = try loop.watch(descriptor: ends[0]) {
            var byte: UInt8 = 0
            #expect(read(ends[0], &byte, 1) == 1)
            received.append(byte)
            if received.count == 3 {
                watch?.cancel()
                loop.soon { loop.stop() }
            }
        }
        #expect(write(ends[1], "abcd", 4) == 4)
        try run(loop)
        #expect(received == Array("abc".utf8))
        loop.destroy()
        close(ends[0])
        close(ends[1])
    }

    @Test("the same descriptor cannot be watched twice; a bad one not at all")
    func descriptorErrors() throws {
        let loop = try EventLoop()
        #expect(throws: EventLoopError.self) { _ = try loop.watch(descriptor: 9999) {} }
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let first = try loop.watch(descriptor: ends[0]) {}
        #expect(throws: EventLoopError.self) { _ = try loop.watch(descriptor: ends[0]) {} }
        first.cancel()
        loop.destroy()
        close(ends[0])
        close(ends[1])
    }

    @Test("interest can change: writable, none, readable")
    func interest() throws {
        let loop = try EventLoop()
        var ends: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, streamType, 0, &ends) == 0)
        var told: [Readiness] = []
        var watch: DescriptorWatch?
        watch = try loop.watch(descriptor: ends[0], for: .writable) { ready in
            told.append(ready)
            if told.count == 1 {
                try? watch?.watch(for: .none)
                #expect(write(ends[1], "x", 1) == 1)
                _ = try? loop.timer(after: 5_000_000) { try? watch?.watch(for: .readable) }
            } else {
                loop.stop()
            }
        }
        try run(loop)
        #expect(told == [.writable, .readable])
        loop.destroy()
        close(ends[0])
        close(ends[1])
    }

    @Test("a signal reaches its watch")
    func signal() throws {
        let loop = try EventLoop()
        var count = 0
        let watch = try loop.onSignal(SIGWINCH) {
            count += 1
            loop.stop()
        }
        _ = try loop.timer(after: 0) { kill(getpid(), SIGWINCH) }
        try run(loop)
        #expect(count == 1)
        watch.cancel()
        loop.destroy()
    }

    @Test("messages of other threads come in order, none lost, in batches")
    func mailbox() throws {
        let loop = try EventLoop()
        let senders = 4
        let each = 5000
        var received: [[Int]] = Array(repeating: [], count: senders)
        var batches = 0
        var total = 0
        let mailbox = try loop.makeMailbox(of: (Int, Int).self) { batch in
            #expect(!batch.isEmpty)
            batches += 1
            for (sender, number) in batch {
                received[sender].append(number)
                total += 1
            }
            if total == senders * each { loop.stop() }
        }
        let threads = try (0..<senders).map { sender in
            try NamedThread("sender-\(sender)") {
                for number in 0..<each { mailbox.post((sender, number)) }
            }
        }
        try run(loop)
        for thread in threads { thread.join() }
        for numbers in received { #expect(numbers == Array(0..<each)) }
        #expect(batches <= total)
        mailbox.close()
        #expect(mailbox.post((0, 0)) == false)
        loop.destroy()
    }

    @Test("what is posted while a batch is delivered comes in the next")
    func mailboxFromWithin() throws {
        let loop = try EventLoop()
        let hold = Mutex<Mailbox<Int>?>(nil)
        var seen: [[Int]] = []
        let mailbox = try loop.makeMailbox(of: Int.self) { batch in
            seen.append(batch)
            if batch == [3] { loop.stop() } else { hold.withLock { $0 }?.post((batch.last ?? 0) + 1) }
        }
        hold.withLock { $0 = mailbox }
        mailbox.post(1)
        try run(loop)
        #expect(seen == [[1], [2], [3]])
        loop.destroy()
    }

    @Test("a mailbox whose loop is gone refuses, from any thread, while others still post")
    func mailboxOutlivesLoop() throws {
        for _ in 0..<50 {
            let loop = try EventLoop()
            let mailbox = try loop.makeMailbox(of: Int.self) { _ in }
            let posting = try NamedThread("posting") {
                while mailbox.post(1) {}
            }
            _ = try loop.timer(after: 200_000) { loop.stop() }
            try run(loop)
            loop.destroy()
            posting.join()
            #expect(!mailbox.post(2))
        }
    }

    @Test("a mailbox closed by another thread drops what waits and ends its watch")
    func mailboxClosedElsewhere() throws {
        let loop = try EventLoop()
        let mailbox = try loop.makeMailbox(of: Int.self) { _ in Issue.record("delivered after close") }
        mailbox.post(1)
        try NamedThread("closing") { mailbox.close() }.join()
        _ = try loop.timer(after: 5_000_000) { loop.stop() }
        try run(loop)
        loop.destroy()
    }

    @Test("soon runs at the turn's end, from there in the next turn without sleeping, and hooks run after")
    func turns() throws {
        let loop = try EventLoop()
        var order: [String] = []
        loop.afterTurn { order.append("hook") }
        _ = try loop.timer(after: 0) {
            order = []
            loop.soon {
                order.append("first")
                loop.soon {
                    order.append("second")
                    loop.stop()
                }
            }
            order.append("timer")
        }
        try run(loop)
        #expect(order == ["timer", "first", "hook", "second", "hook"])
        loop.destroy()
    }

    @Test("now is the same within a turn and goes on between turns")
    func clock() throws {
        let loop = try EventLoop()
        var times: [UInt64] = []
        _ = try loop.timer(after: 0, repeating: 2_000_000) {
            let first = loop.now
            usleep(1000)
            #expect(loop.now == first)
            times.append(first)
            if times.count == 4 { loop.stop() }
        }
        try run(loop)
        #expect(times == times.sorted() && Set(times).count == times.count)
        loop.destroy()
    }

    @Test("a loop let go of frees what it watched")
    func letGo() throws {
        final class Token {}
        weak var kept: Token?
        do {
            let loop = try EventLoop()
            let token = Token()
            kept = token
            _ = try loop.timer(after: 1_000_000_000) { _ = token }
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            _ = try loop.watch(descriptor: ends[0]) { _ = token }
            _ = try loop.onSignal(SIGWINCH) { _ = token }
            _ = try loop.makeMailbox(of: Int.self) { _ in _ = token }
            loop.soon { _ = token }
            loop.afterTurn { _ = token }
            close(ends[1])
            loop.stop()
            loop.run()
            loop.destroy()
            close(ends[0])
        }
        #expect(kept == nil)
    }

    @Test("many descriptors are watched and cancelled without a trace")
    func many() throws {
        let loop = try EventLoop()
        for _ in 0..<200 {
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            let watch = try loop.watch(descriptor: ends[0]) {}
            watch.cancel()
            close(ends[0])
            close(ends[1])
        }
        loop.soon { loop.stop() }
        try run(loop)
        loop.destroy()
    }

    @Test("a thread has its name, its signals blocked, and is joined once")
    func threads() throws {
        let told = Mutex<(name: String, blocked: Bool)>(("", false))
        let thread = try NamedThread("a-rather-long-thread-name") {
            let text = Self.threadName()
            var mask = sigset_t()
            pthread_sigmask(SIG_SETMASK, nil, &mask)
            let blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGSEGV) == 0
            told.withLock { $0 = (text, blocked) }
        }
        thread.join()
        thread.join()
        told.withLock {
            #expect($0.name == "a-rather-long-t")
            #expect($0.blocked)
        }
    }

    /// What the system calls the calling thread.
    private static func threadName() -> String {
        guard let file = fopen("/proc/thread-self/comm", "r") else { return "a-rather-long-t" }
        defer { fclose(file) }
        var text = [UInt8](repeating: 0, count: 64)
        let count = fread(&text, 1, text.count, file)
        return String(decoding: text[..<max(0, count - 1)], as: UTF8.self)
    }

    #if canImport(Glibc)
    private var streamType: Int32 { Int32(SOCK_STREAM.rawValue) }
    #else
    private var streamType: Int32 { SOCK_STREAM }
    #endif
}
