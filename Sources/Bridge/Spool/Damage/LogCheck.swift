#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Tells damage within a write-ahead log from the end that a crash gives it. SQLite cannot: for it the log ends before the
/// first frame that does not check, and whatever was stored behind that is silently gone.
///
/// The format is that of sqlite.org/fileformat2.html, section 4: a header of 32 bytes, then frames, each a header of 24
/// bytes and a page. A frame's checksum goes on from that of the frame before, and is stored in the frame. So any frame
/// can be judged by its predecessor's header alone, also behind a fault: where it follows, both were written in this
/// order, by one writer.
///
/// What a crash can leave: `synchronous=FULL` syncs the log at the end of each transaction, before the next one writes
/// its first frame. So only the last transaction can be in parts, in any order and with anything in the gaps (sectors of
/// an older log too), and whoever waited for it was not answered. Frames of a log before this one have other salts. A
/// transaction that was taken back leaves frames of these salts behind the end, but none that follows the last commit,
/// for what overwrote its beginning has other checksums.
///
/// So it is damage if, at the first frame that does not check or behind it, a transaction ends and the next one begins:
/// a frame that ends a transaction, and right behind it one whose checksum follows from it. The former was synced then,
/// with all before it. That a frame ends a transaction is believed if its own checksum follows, or if its header is
/// within one sector, which a disk writes whole or not at all. The log's header is synced before the first frame is
/// written, so the same holds where it is the header that does not check.
///
/// What cannot be told is taken for a crash: a fault in the last transaction, or one that hits the header of the last
/// frame of the last but one.
enum LogCheck {
    enum Finding: Equatable {
        case sound
        /// This frame, counted from 0, does not check, and synced transactions stand behind it or end with it.
        case damaged(frame: Int)
    }

    /// What the log of a spool's file has suffered, in words; nil when it is sound.
    static func damage(of file: String) throws(SpoolError) -> SpoolError? {
        guard case .damaged(let frame) = try look(at: file + "-wal") else { return nil }
        return SpoolError(
            .damaged, "\(file)-wal: the write-ahead log is damaged at frame \(frame), and synced events stand behind it"
        )
    }

    private static let headerBytes = 32
    private static let frameHeaderBytes = 24
    private static let sectorBytes = 512
    /// SQLite's magic number; the lowest bit says that checksums are of big-endian words.
    private static let magic: UInt32 = 0x377F_0682
    private static let version: UInt32 = 3_007_000

    /// Reads the log once, a frame at a time.
    ///
    /// - Parameter path: of the log; one that is not there, or empty, is sound.
    /// - Throws: `SpoolError`, `.io` when it cannot be read.
    static func look(at path: String) throws(SpoolError) -> Finding {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return .sound }
            throw SpoolError(.io, "cannot read \(path): \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: headerBytes)
        guard try read(descriptor, path, at: 0, into: &header) else { return .sound }
        let log = Log(header)
        var walk = Walk(log)
        var frame = [UInt8](repeating: 0, count: frameHeaderBytes + log.pageBytes)
        var index = 0
        while try read(descriptor, path, at: headerBytes + index * frame.count, into: &frame) {
            if let damaged = frame.withUnsafeBytes({ walk.next($0, index: index) }) { return .damaged(frame: damaged) }
            index += 1
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
                // What the disk cannot give back is lost.
                let code: SpoolError.Code = errno == EIO || errno == ENXIO ? .damaged : .io
                throw SpoolError(code, "cannot read \(path): \(String(cString: strerror(errno)))")
            }
            if part == 0 { return false }
            count += part
        }
        return true
    }

    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
        UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// SQLite's checksum of words in pairs.
    private struct Checksum: Equatable {
        var first: UInt32 = 0
        var second: UInt32 = 0

        /// Those stored at an offset.
        init(_ bytes: UnsafeRawBufferPointer, _ offset: Int) {
            first = word(bytes, offset)
            second = word(bytes, offset + 4)
        }

        init() {}

        mutating func add(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, isBigEndian: Bool) {
            for offset in stride(from: range.lowerBound, to: range.upperBound, by: 8) {
                let one = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                let two = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
                first &+= (isBigEndian ? UInt32(bigEndian: one) : UInt32(littleEndian: one)) &+ second
                second &+= (isBigEndian ? UInt32(bigEndian: two) : UInt32(littleEndian: two)) &+ first
            }
        }
    }

    /// What the log's header says.
    private struct Log {
        /// What frames go on from; nil when the header does not check, and says nothing then.
        var start: Checksum?
        var salts = Checksum()
        var pageBytes = SpoolStore.pageBytes
        #if _endian(big)
        var isBigEndian = true
        #else
        var isBigEndian = false
        #endif

        init(_ header: [UInt8]) {
            header.withUnsafeBytes { header in
                let magic = word(header, 0)
                let size = Int(word(header, 8))
                guard magic & ~1 == LogCheck.magic, word(header, 4) == LogCheck.version, size.nonzeroBitCount == 1,
                    (512...65_536).contains(size)
                else { return }
                var sum = Checksum()
                sum.add(header, 0..<24, isBigEndian: magic & 1 == 1)
                guard sum == Checksum(header, 24) else { return }
                start = sum
                salts = Checksum(header, 16)
                pageBytes = size
                isBigEndian = magic & 1 == 1
            }
        }
    }

    /// The frames in their order.
    private struct Walk {
        let log: Log
        /// The first frame that does not check.
        private var fault: Int?
        /// What the last frame has stored, for the next to go on from; nil when that was not of this log.
        private var last: Checksum?
        /// The salts of the last frame, as the log's own are not known without its header.
        private var lastSalts: Checksum?
        /// Whether the last frame is at the fault or behind it, and ends a transaction.
        private var lastEnds = false

        init(_ log: Log) {
            self.log = log
            last = log.start
            lastSalts = log.start == nil ? nil : log.salts
            fault = log.start == nil ? 0 : nil
        }

        /// - Returns: the first frame that does not check, once this one shows that it is damaged.
        mutating func next(_ frame: UnsafeRawBufferPointer, index: Int) -> Int? {
            let salts = Checksum(frame, 8)
            let stored = Checksum(frame, 16)
            var follows = false
            if var sum = last, salts == lastSalts, word(frame, 0) != 0 {
                sum.add(frame, 0..<8, isBigEndian: log.isBigEndian)
                sum.add(frame, LogCheck.frameHeaderBytes..<frame.count, isBigEndian: log.isBigEndian)
                follows = sum == stored
            }
            if fault == nil, !follows { fault = index }
            if follows, lastEnds { return fault }
            let isOfThisLog = log.start == nil || salts == log.salts
            let offset = LogCheck.headerBytes + index * frame.count
            let isInOneSector = offset % LogCheck.sectorBytes + LogCheck.frameHeaderBytes <= LogCheck.sectorBytes
            lastEnds = fault != nil && isOfThisLog && word(frame, 4) != 0 && (follows || isInOneSector)
            last = isOfThisLog ? stored : nil
            lastSalts = isOfThisLog ? salts : nil
            return nil
        }
    }
}
