#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Finds transactions in a write-ahead log that SQLite ignores: for SQLite the log ends before the first frame whose checksum
/// is wrong, whatever comes after it.
///
/// The format is that of sqlite.org/fileformat2.html, section 4: a header of 32 bytes, then frames, each a header of 24
/// bytes and a page. Each checksum continues that of the frame before. Frames of an earlier use of the file have other salts.
///
/// A crash can leave the last transaction in any state, and no other: `synchronous=FULL` syncs the log at the end of each
/// before the next one writes its first frame. So if two transactions of this log end at the first invalid frame or after it,
/// the first of them was synced, with all before it: the log is corrupt. The frame that ends a transaction is known by a
/// part of its header, which must be within one sector: a disk writes a sector as a whole. Corruption of the last two transactions is
/// not found: it looks like a crash.
enum WriteAheadLog {
    enum Finding: Equatable {
        case sound
        /// This frame, counted from 0, is invalid, and synced transactions end there or after it.
        case corrupt(frame: Int)
    }

    private static let headerBytes = 32
    private static let frameHeaderBytes = 24
    private static let sectorBytes = 512
    /// SQLite's magic number; the lowest bit says that checksums are of big-endian words.
    private static let magic: UInt32 = 0x377F_0682
    private static let version: UInt32 = 3_007_000

    /// Why the log of a spool's file is corrupt; nil when it is sound.
    static func corruption(of file: String) throws(SpoolError) -> SpoolError? {
        guard case .corrupt(let frame) = try check("\(file)-wal") else { return nil }
        return SpoolError(
            .corrupt, "\(file)-wal: the write-ahead log is corrupt at frame \(frame), and synced events come after it")
    }

    /// Reads the log once, a frame at a time.
    ///
    /// - Parameter path: of the log; one that is not there, or empty, is sound.
    /// - Throws: `SpoolError` when it cannot be read.
    static func check(_ path: String) throws(SpoolError) -> Finding {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return .sound }
            throw SpoolError(.io, "cannot read \(path): \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: headerBytes)
        guard try read(descriptor, path, at: 0, into: &header) else { return .sound }
        var chain = header.withUnsafeBytes { Chain($0) }
        var salts = chain?.salts
        var fault = chain == nil ? 0 : nil
        var ends = 0
        var frame = [UInt8](repeating: 0, count: frameHeaderBytes + (chain?.pageBytes ?? SpoolStore.pageBytes))
        var offset = headerBytes
        for index in 0... {
            guard try read(descriptor, path, at: offset, into: &frame) else { break }
            // Bytes 4 to 15 say that a transaction of this log ends.
            let isInOneSector = (offset + 4) % sectorBytes <= sectorBytes - 12
            offset += frame.count
            let end: UInt64? = frame.withUnsafeBytes { frame in
                if fault == nil, chain?.continues(with: frame) != true { fault = index }
                return fault != nil && isInOneSector && word(frame, 4) != 0 ? saltsOf(frame, at: 8) : nil
            }
            guard let fault, let end else { continue }
            if end != salts {
                // Without its header nothing says which salts are those of this log.
                if chain != nil { continue }
                salts = end
                ends = 0
            }
            ends += 1
            if ends == 2 { return .corrupt(frame: fault) }
        }
        return .sound
    }

    /// - Returns: whether there was all of it.
    private static func read(
        _ descriptor: Int32, _ path: String, at offset: Int, into buffer: inout [UInt8]
    ) throws(SpoolError) -> Bool {
        var count = 0
        while count < buffer.count {
            let part = buffer.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress.map { $0 + count }, $0.count - count, off_t(offset + count))
            }
            if part < 0, errno == EINTR { continue }
            guard part >= 0 else {
                throw SpoolError(.unreadable, "cannot read \(path): \(String(cString: strerror(errno)))")
            }
            if part == 0 { return false }
            count += part
        }
        return true
    }

    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
        UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    private static func saltsOf(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }

    /// The checksums of a log, from its header on.
    private struct Chain {
        let salts: UInt64
        let pageBytes: Int
        private let isBigEndian: Bool
        private var sum: (UInt32, UInt32) = (0, 0)

        /// nil when the header is invalid.
        init?(_ header: UnsafeRawBufferPointer) {
            let magic = word(header, 0)
            pageBytes = Int(word(header, 8))
            isBigEndian = magic & 1 == 1
            salts = saltsOf(header, at: 16)
            guard magic & ~1 == WriteAheadLog.magic, word(header, 4) == version, pageBytes.nonzeroBitCount == 1,
                (512...65_536).contains(pageBytes)
            else { return nil }
            add(header, 0..<24)
            guard sum == (word(header, 24), word(header, 28)) else { return nil }
        }

        /// Whether a frame is valid, and follows the one before.
        mutating func continues(with frame: UnsafeRawBufferPointer) -> Bool {
            guard saltsOf(frame, at: 8) == salts, word(frame, 0) != 0 else { return false }
            add(frame, 0..<8)
            add(frame, frameHeaderBytes..<frame.count)
            return sum == (word(frame, 16), word(frame, 20))
        }

        /// SQLite's checksum, of words in pairs.
        private mutating func add(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
            for offset in stride(from: range.lowerBound, to: range.upperBound, by: 8) {
                let (one, two) = (
                    bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self),
                    bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
                )
                sum.0 &+= (isBigEndian ? UInt32(bigEndian: one) : UInt32(littleEndian: one)) &+ sum.1
                sum.1 &+= (isBigEndian ? UInt32(bigEndian: two) : UInt32(littleEndian: two)) &+ sum.0
            }
        }
    }
}
