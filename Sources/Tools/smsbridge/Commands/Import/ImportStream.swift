import CSMSBridgeIconv
import CSMSBridgeZlib

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Bytes of an input, part by part.
protocol ImportBytes: AnyObject {
    /// For messages.
    var name: String { get }
    /// nil at the end.
    func next() throws(ReplayFailure) -> [UInt8]?
}

/// The bytes of an input file: decompressed where it is gzip, and in UTF-8 where another encoding was named.
final class ImportStream: ImportBytes {
    /// The file's name, for messages.
    let name: String
    private let descriptor: Int32
    private var inflater: GzipReader?
    private var transcoder: Transcoder?
    private var isFirst = true
    private var isAtEnd = false
    private var buffer = [UInt8](repeating: 0, count: 1 << 17)

    /// How many bytes of the file have been read, as they are on disk.
    private(set) var consumed: Int64 = 0
    /// Why the rest of the file cannot be read; nil when it was read to its end.
    private(set) var damage: String?

    /// - Parameters:
    ///   - file: opened for reading; it is read from its current position and not closed.
    ///   - encoding: as iconv names it; nil for UTF-8, and for formats that declare their own.
    init(_ file: ImportFile, encoding: String?) throws(ReplayFailure) {
        name = file.name
        descriptor = file.descriptor
        if let encoding { transcoder = try Transcoder(from: encoding) }
    }

    /// The next bytes; nil at the end.
    func next() throws(ReplayFailure) -> [UInt8]? {
        while !isAtEnd {
            let count = try read()
            var bytes = Array(buffer[..<count])
            if isFirst, count > 0 {
                isFirst = false
                if bytes.starts(with: [0x1F, 0x8B]) { inflater = try GzipReader() }
            }
            isAtEnd = count == 0
            if let inflater {
                let (inflated, problem) = isAtEnd ? ([], inflater.end()) : inflater.inflate(bytes)
                bytes = inflated
                if let problem {
                    damage = problem
                    isAtEnd = true
                }
            }
            if let transcoder { bytes = transcoder.convert(bytes, isLast: isAtEnd) }
            if !bytes.isEmpty { return bytes }
        }
        return nil
    }

    private func read() throws(ReplayFailure) -> Int {
        while true {
            let count = buffer.withUnsafeMutableBytes { systemRead(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw ReplayFailure(message: "cannot read \(name): \(String(cString: strerror(errno)))")
            }
            consumed += Int64(count)
            return count
        }
    }
}

private func systemRead(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    #if canImport(Glibc)
    Glibc.read(descriptor, bytes, count)
    #else
    Darwin.read(descriptor, bytes, count)
    #endif
}

/// Inflates gzip (RFC 1952), of several members, too.
private final class GzipReader {
    private let stream: UnsafeMutablePointer<z_stream>
    private var output = [UInt8](repeating: 0, count: 1 << 17)
    /// Whether the last member has ended: what follows is another one, or padding.
    private var hasEnded = false

    init() throws(ReplayFailure) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard smsbridge_inflate_init(stream, 31) == Z_OK else {
            stream.deallocate()
            throw ReplayFailure(message: "zlib cannot be initialised")
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// - Returns: what was inflated, and why the rest cannot be.
    func inflate(_ bytes: [UInt8]) -> ([UInt8], problem: String?) {
        var bytes = bytes
        var result: [UInt8] = []
        let problem = bytes.withUnsafeMutableBufferPointer { input -> String? in
            stream.pointee.next_in = input.baseAddress
            stream.pointee.avail_in = UInt32(input.count)
            while stream.pointee.avail_in > 0 {
                if hasEnded {
                    // Zeros pad the end of a tape's block.
                    if stream.pointee.next_in.pointee == 0 {
                        stream.pointee.next_in += 1
                        stream.pointee.avail_in -= 1
                        continue
                    }
                    guard inflateReset(stream) == Z_OK else { return "gzip: the next member cannot be read" }
                    hasEnded = false
                }
                let status = output.withUnsafeMutableBufferPointer { room -> Int32 in
                    stream.pointee.next_out = room.baseAddress
                    stream.pointee.avail_out = UInt32(room.count)
                    return CSMSBridgeZlib.inflate(stream, Z_NO_FLUSH)
                }
                result += output[..<(output.count - Int(stream.pointee.avail_out))]
                switch status {
                case Z_OK, Z_BUF_ERROR: continue
                case Z_STREAM_END: hasEnded = true
                default: return "gzip: the compressed data is damaged"
                }
            }
            return nil
        }
        return (result, problem)
    }

    /// - Returns: the problem with the end; nil for none.
    func end() -> String? { hasEnded ? nil : "gzip: the file ends within its compressed data" }
}

/// Converts an encoding to UTF-8. What cannot be converted becomes a byte that is not UTF-8, so that its row is reported.
private final class Transcoder {
    private let converter: iconv_t
    private var rest: [UInt8] = []
    private static let invalid: UInt8 = 0xFF

    init(from encoding: String) throws(ReplayFailure) {
        converter = iconv_open("UTF-8", encoding)
        guard smsbridge_iconv_is_open(converter) != 0 else {
            throw ReplayFailure(
                message: "--encoding: this machine does not know '\(encoding)'", exitCode: ExitCode.usage)
        }
    }

    deinit { iconv_close(converter) }

    func convert(_ bytes: [UInt8], isLast: Bool) -> [UInt8] {
        var input = rest + bytes
        rest = []
        var result: [UInt8] = []
        var room = [CChar](repeating: 0, count: 1 << 16)
        input.withUnsafeMutableBytes { raw in
            var start = raw.baseAddress?.assumingMemoryBound(to: CChar.self)
            var left = raw.count
            while left > 0 {
                var code: Int32 = 0
                let written = room.withUnsafeMutableBufferPointer { buffer -> Int in
                    var end = buffer.baseAddress
                    var free = buffer.count
                    if iconv(converter, &start, &left, &end, &free) == Int(bitPattern: UInt.max) { code = errno }
                    return buffer.count - free
                }
                result += room[..<written].lazy.map(UInt8.init(bitPattern:))
                switch code {
                case 0, E2BIG: continue
                case EINVAL where !isLast:
                    // A character that is not complete yet.
                    if let start { rest = Array(UnsafeRawBufferPointer(start: start, count: left)) }
                    return
                default:
                    result.append(Self.invalid)
                    start = start.map { $0 + 1 }
                    left -= 1
                }
            }
        }
        return result
    }

    /// Whether an encoding is known.
    static func knows(_ encoding: String) -> Bool {
        let converter = iconv_open("UTF-8", encoding)
        guard smsbridge_iconv_is_open(converter) != 0 else { return false }
        iconv_close(converter)
        return true
    }
}

/// An input file that can be read more than once. Standard input, and other streams, are copied to a temporary file.
final class ImportFile {
    /// As the command line names it.
    let name: String
    let descriptor: Int32
    /// Its size on disk, in bytes.
    let size: Int64
    private let modified: Int64

    /// - Parameter path: `-` for standard input.
    init(_ path: String) throws(ReplayFailure) {
        name = path == "-" ? "standard input" : path
        var descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
        func failure(_ what: String) -> ReplayFailure {
            ReplayFailure(
                message: "\(what) \(path == "-" ? "standard input" : path): \(String(cString: strerror(errno)))")
        }
        guard descriptor >= 0 else { throw failure("cannot open") }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("cannot read") }
        guard status.st_mode & S_IFMT != S_IFDIR else {
            throw ReplayFailure(message: "\(path) is a folder")
        }
        if status.st_mode & S_IFMT != S_IFREG {
            descriptor = try Self.copy(descriptor, name)
            guard fstat(descriptor, &status) == 0 else { throw failure("cannot read") }
        }
        self.descriptor = descriptor
        size = Int64(status.st_size)
        modified = Self.modified(status)
    }

    deinit { close(descriptor) }

    private static func modified(_ status: stat) -> Int64 {
        #if canImport(Glibc)
        Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
        #else
        Int64(status.st_mtimespec.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtimespec.tv_nsec)
        #endif
    }

    /// Back to the beginning.
    ///
    /// - Throws: `ReplayFailure` when the file has changed since it was opened.
    func rewind() throws(ReplayFailure) {
        var status = stat()
        guard fstat(descriptor, &status) == 0, Int64(status.st_size) == size, Self.modified(status) == modified else {
            throw ReplayFailure(message: "\(name) has changed while it was read")
        }
        guard lseek(descriptor, 0, SEEK_SET) == 0 else {
            throw ReplayFailure(message: "cannot read \(name): \(String(cString: strerror(errno)))")
        }
    }

    /// A hash of the file's bytes (FNV-1a).
    func fingerprint() throws(ReplayFailure) -> UInt64 {
        try rewind()
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 17, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = systemRead(descriptor, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw ReplayFailure(message: "cannot read \(name): \(String(cString: strerror(errno)))")
            }
            guard count > 0 else { break }
            for byte in UnsafeRawBufferPointer(rebasing: buffer[..<count]) {
                hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
            }
        }
        try rewind()
        return hash
    }

    /// Copies a stream to a file without a name, which ends with the process.
    private static func copy(_ source: Int32, _ name: String) throws(ReplayFailure) -> Int32 {
        defer { close(source) }
        let target = try temporaryFile()
        var buffer = [UInt8](repeating: 0, count: 1 << 17)
        while true {
            let count = buffer.withUnsafeMutableBytes { systemRead(source, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw ReplayFailure(message: "cannot read \(name): \(String(cString: strerror(errno)))")
            }
            guard count > 0 else { break }
            if let code = Output.attempt(Array(buffer[..<count]), to: target) {
                throw ReplayFailure(
                    message: "cannot copy \(name) to a temporary file: \(String(cString: strerror(code)))")
            }
        }
        lseek(target, 0, SEEK_SET)
        return target
    }

    /// A file in `TMPDIR`, for its owner only, that has no name any more.
    static func temporaryFile() throws(ReplayFailure) -> Int32 {
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var path = Array("\(folder)/smsbridge-import-XXXXXX".utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor >= 0 else {
            throw ReplayFailure(message: "no temporary file in \(folder): \(String(cString: strerror(errno)))")
        }
        unlink(path)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        return descriptor
    }
}
