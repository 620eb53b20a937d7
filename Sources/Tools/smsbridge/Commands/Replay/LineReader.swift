#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The lines of a file, or of standard input, one after the other.
final class LineReader {
    /// The longest line, in bytes: a record of the largest size that Kafka accepts, written in hexadecimal.
    private static let longest = 64 << 20

    private let path: String
    private let option: String
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var at = 0
    private var isAtEnd = false

    /// - Parameters:
    ///   - path: `-` for standard input.
    ///   - option: how the command line names the file, for messages.
    init(_ path: String, option: String) throws(ReplayFailure) {
        self.path = path
        self.option = option
        descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure() }
    }

    deinit { if descriptor > 2 { close(descriptor) } }

    private func failure() -> ReplayFailure {
        ReplayFailure(message: "\(option): cannot read \(path): \(String(cString: strerror(errno)))")
    }

    /// Without its line feed; nil at the end.
    func next() throws(ReplayFailure) -> [UInt8]? {
        var searched = at
        while true {
            if let end = buffer[searched...].firstIndex(of: 10) {
                defer { at = end + 1 }
                return Array(buffer[at..<end])
            }
            searched = buffer.count
            if isAtEnd {
                defer { at = buffer.count }
                return at < buffer.count ? Array(buffer[at...]) : nil
            }
            guard buffer.count - at < Self.longest else {
                throw ReplayFailure(message: "\(option): \(path): a line is longer than \(Self.longest) bytes")
            }
            buffer.removeFirst(at)
            searched -= at
            at = 0
            var chunk = [UInt8](repeating: 0, count: 1 << 18)
            let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure() }
            isAtEnd = count == 0
            buffer += chunk[..<count]
        }
    }
}
