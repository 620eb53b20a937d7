import Foundation
import Synchronization

/// A program of this package in a process of its own.
final class Program: Sendable {
    private let process = Process()
    private let written = Written()

    private final class Written: Sendable {
        let bytes = Mutex(Data())
        let isComplete = Atomic(false)
    }

    /// - Parameter environment: All that is in it.
    init(_ name: String, _ arguments: [String] = [], environment: [String: String]) throws {
        let folder = URL(fileURLWithPath: ProcessInfo.processInfo.arguments[0]).resolvingSymlinksInPath()
            .deletingLastPathComponent()
        process.executableURL = folder.appendingPathComponent(name)
        process.arguments = arguments
        process.environment = environment
        process.standardInput = FileHandle.nullDevice
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        Thread.detachNewThread { [written] in
            var block = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(pipe.fileHandleForReading.fileDescriptor, &block, block.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                written.bytes.withLock { $0 += block[..<count] }
            }
            written.isComplete.store(true, ordering: .releasing)
        }
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    /// What it has written so far, to standard output and standard error.
    var output: String { String(decoding: written.bytes.withLock { $0 }, as: UTF8.self) }

    /// Waits until a condition holds for its output; two minutes at most, and no longer than it runs.
    func wait(until condition: (String) -> Bool) async throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(120)
        while process.isRunning, ContinuousClock.now < deadline {
            if condition(output) { return true }
            try await Task.sleep(for: .milliseconds(10))
        }
        return condition(output)
    }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Waits for its end and the end of its output, two minutes at most.
    ///
    /// - Returns: The exit code, or 128 and the number of the signal that ended it; nil when it still runs.
    func untilExit() async throws -> Int32? {
        let deadline = ContinuousClock.now + .seconds(120)
        while process.isRunning || !written.isComplete.load(ordering: .acquiring) {
            guard ContinuousClock.now < deadline else { return nil }
            try await Task.sleep(for: .milliseconds(10))
        }
        return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
    }
}
