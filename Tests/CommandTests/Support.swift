import Foundation
import Testing

/// The real cluster of the environment, if there is one.
let realBootstrapServers = ProcessInfo.processInfo.environment["KAFKA_BOOTSTRAP_SERVERS"]

/// A name that no other test and no other run uses.
func uniqueName(_ stem: String) -> String { "\(stem)-\(getpid())-\(UInt32.random(in: 0...UInt32.max))" }

/// What a run of the built program did.
struct Run {
    var exitCode: Int32
    var output: String
    var errors: String
}

/// Runs `smsbridge`, which is built beside the tests, with nothing in its environment but what is given.
func smsbridge(_ arguments: [String], environment: [String: String] = [:], timeout: TimeInterval = 60) throws -> Run {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: ProcessInfo.processInfo.arguments[0]).resolvingSymlinksInPath()
        .deletingLastPathComponent().appendingPathComponent("smsbridge")
    process.arguments = arguments
    var all = environment
    // How a sanitizer or a debugger was set up for the tests holds for the program, too.
    for (name, value) in ProcessInfo.processInfo.environment
    where !name.hasPrefix("SMSBRIDGE_") && name != "KAFKA_BOOTSTRAP_SERVERS" && all[name] == nil { all[name] = value }
    process.environment = all
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = errors
    process.standardInput = FileHandle.nullDevice
    try process.run()
    // A thread of its own: the pools may be full of tests that wait.
    let isOver = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
        if isOver.wait(timeout: .now() + timeout) == .timedOut { kill(process.processIdentifier, SIGKILL) }
    }
    nonisolated(unsafe) var errorBytes = Data()
    let done = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
        errorBytes = errors.fileHandleForReading.readDataToEndOfFile()
        done.signal()
    }
    let outputBytes = output.fileHandleForReading.readDataToEndOfFile()
    done.wait()
    process.waitUntilExit()
    isOver.signal()
    return Run(
        exitCode: process.terminationStatus, output: String(decoding: outputBytes, as: UTF8.self),
        errors: String(decoding: errorBytes, as: UTF8.self))
}
