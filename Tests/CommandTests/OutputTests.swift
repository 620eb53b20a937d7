#if os(Linux)
import Foundation
import Testing

@Suite struct OutputTests {
    @Test func aFullDiskIsSaid() throws {
        let full = try #require(FileHandle(forWritingAtPath: "/dev/full"))
        let process = Process()
        process.executableURL = program
        process.arguments = ["help", "settings", "--markdown"]
        process.standardOutput = full
        let errors = Pipe()
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 1)
        #expect(text.contains("cannot write standard output: No space left on device"), "\(text)")
    }

    /// As when the program shares a pipe with one that has made it non-blocking.
    @Test func aSlowReaderOfANonBlockingPipeCostsNoProcessorTime() throws {
        let pipe = Pipe()
        let end = pipe.fileHandleForWriting.fileDescriptor
        #expect(fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK) == 0)
        let setPipeSize: Int32 = 1_031
        #expect(fcntl(end, setPipeSize, 4_096) >= 4_096)
        let process = Process()
        process.executableURL = program
        process.arguments = ["help", "settings", "--markdown"]
        process.standardOutput = pipe
        process.standardInput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        try pipe.fileHandleForWriting.close()
        Thread.sleep(forTimeInterval: 2)
        // Fields 14 and 15, behind the name in parentheses: user and system time in hundredths of a second.
        let stat = try String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8)
        let fields = stat.split(separator: ")").last?.split(separator: " ").map(String.init) ?? []
        let ticks = (Int(fields[11]) ?? .max / 2) + (Int(fields[12]) ?? .max / 2)
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(ticks < 60, "\(ticks) hundredths of a second")
        #expect(process.terminationStatus == 0)
        #expect(output.count > 10_000 && output.last == 0x0A)
    }
}
#endif
