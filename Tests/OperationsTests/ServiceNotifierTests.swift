import FoundationEssentials
import Testing

@testable import SMSBridgeOperations

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A socket as a service manager has one.
private final class Manager {
    let name: String
    private let descriptor: Int32
    private let folder: String?

    /// - Parameter abstract: a name that no file system knows; Linux only.
    init(abstract: Bool = false) throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var path: [UInt8]
        if abstract {
            name = "@smsbridge-test-\(getpid())-\(UInt64.random(in: 0 ... .max))"
            folder = nil
            path = [0] + Array(name.utf8.dropFirst())
        } else {
            var template = Array("/tmp/notify-XXXXXX".utf8CString)
            let made = try #require(mkdtemp(&template))
            folder = String(cString: made)
            name = folder! + "/socket"
            path = Array(name.utf8) + [0]
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        #if canImport(Glibc)
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        #else
        descriptor = socket(AF_UNIX, SOCK_DGRAM, 0)
        #endif
        let length = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path)! + path.count)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        try #require(bound == 0)
    }

    deinit {
        close(descriptor)
        if let folder {
            unlink(name)
            rmdir(folder)
        }
    }

    /// The messages that have come, in order.
    func heard() -> [String] {
        var messages: [String] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let got = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            guard got >= 0 else { return messages }
            messages.append(String(decoding: buffer[..<got], as: UTF8.self))
        }
    }

    func notifier(_ more: [String: String] = [:]) throws -> ServiceNotifier {
        let environment = more.merging(["NOTIFY_SOCKET": name]) { $1 }
        return try #require(try ServiceNotifier { environment[$0] })
    }
}

@Suite struct ServiceNotifierTests {
    @Test func theManagerHearsOfTheStartAndOfTheEnd() throws {
        let manager = try Manager()
        let notifier = try manager.notifier()
        notifier.ready()
        notifier.show("serving")
        notifier.show("serving")
        notifier.show("Kafka does not answer\nREADY=1")
        notifier.tick()
        notifier.stopping()
        #expect(
            manager.heard() == [
                "READY=1", "STATUS=serving", "STATUS=Kafka does not answer READY=1", "STOPPING=1",
            ])
    }

    #if os(Linux)
    @Test func abstractNamesAreServed() throws {
        let manager = try Manager(abstract: true)
        try manager.notifier().ready()
        #expect(manager.heard() == ["READY=1"])
    }
    #endif

    @Test func aWatchdogHearsEveryTickAndTheIntervalIsHalved() throws {
        let manager = try Manager()
        let notifier = try manager.notifier(["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "\(getpid())"])
        #expect(notifier.watchdogInterval == .seconds(15))
        notifier.tick()
        notifier.tick()
        #expect(manager.heard() == ["WATCHDOG=1", "WATCHDOG=1"])
    }

    @Test(arguments: [
        ["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"], ["WATCHDOG_USEC": "0"], ["WATCHDOG_USEC": "-1"],
        ["WATCHDOG_USEC": "soon"], ["WATCHDOG_PID": "\(getpid())"], [:],
    ])
    func thereIsNoWatchdogUnlessItIsMeantForThisProcess(_ environment: [String: String]) throws {
        let manager = try Manager()
        let notifier = try manager.notifier(environment)
        #expect(notifier.watchdogInterval == nil)
        notifier.tick()
        #expect(manager.heard().isEmpty)
    }

    @Test func withoutAManagerNothingIsTold() throws {
        let none = try ServiceNotifier { _ in nil }
        #expect(none == nil)
        let empty = try ServiceNotifier { $0 == "NOTIFY_SOCKET" ? "" : nil }
        #expect(empty == nil)
    }

    @Test(arguments: ["vsock:2:1234", "run/notify", "/" + String(repeating: "x", count: 200)])
    func anAddressThatCannotBeUsedIsNamed(_ path: String) {
        #expect {
            _ = try ServiceNotifier { $0 == "NOTIFY_SOCKET" ? path : nil }
        } throws: { "\($0)".hasPrefix("NOTIFY_SOCKET: ") }
    }

    @Test func whatTheManagerHasNoRoomForIsSaidAgain() throws {
        let manager = try Manager()
        let notifier = try manager.notifier()
        // Each of these waits in the manager's queue, which is short (net.unix.max_dgram_qlen) until it is read.
        for number in 0..<10_000 { notifier.show("\(number)") }
        notifier.ready()
        let first = manager.heard()
        try #require(first.count < 10_000, "the queue never filled: the test proves nothing")
        #expect(!first.contains { $0.contains("READY=1") })
        notifier.tick()
        #expect(manager.heard() == ["STATUS=9999\nREADY=1"])
    }

    @Test func aManagerThatIsGoneIsNoTrouble() throws {
        let environment = ["NOTIFY_SOCKET": "/tmp/nobody-listens-\(UInt64.random(in: 0 ... .max))"]
        let notifier = try #require(try ServiceNotifier { environment[$0] })
        notifier.ready()
        notifier.tick()
    }
}
