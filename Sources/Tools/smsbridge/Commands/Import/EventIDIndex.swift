#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// An event id in 16 bytes.
struct EventID: Hashable, Comparable, Sendable {
    let high: UInt64
    let low: UInt64

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// - Parameter text: 32 hexadecimal digits.
    init?(_ text: some Collection<UInt8>) {
        guard text.count == 32 else { return nil }
        var parts: (UInt64, UInt64) = (0, 0)
        for (index, byte) in text.enumerated() {
            let digit: UInt8
            switch byte {
            case 48...57: digit = byte - 48
            case 97...102: digit = byte - 87
            default: return nil
            }
            if index < 16 { parts.0 = parts.0 << 4 | UInt64(digit) } else { parts.1 = parts.1 << 4 | UInt64(digit) }
        }
        self.init(high: parts.0, low: parts.1)
    }

    static func < (left: EventID, right: EventID) -> Bool {
        left.high == right.high ? left.low < right.low : left.high < right.high
    }
}

/// A set of small numbers, a bit each.
struct RowSet: Sendable {
    private var words: [UInt64] = []
    private(set) var count = 0

    func contains(_ row: Int) -> Bool {
        let word = row >> 6
        return word < words.count && words[word] & 1 << UInt64(row & 63) != 0
    }

    mutating func insert(_ row: Int) {
        let word = row >> 6
        if word >= words.count { words += repeatElement(0, count: word - words.count + 1) }
        let bit: UInt64 = 1 << UInt64(row & 63)
        if words[word] & bit == 0 { count += 1 }
        words[word] |= bit
    }
}

/// The ids of an input's rows: which rows repeat an earlier one, and which are in Kafka.
///
/// The ids are kept in memory up to a bound; beyond it in temporary files, in parts that are compared one after the other. Ids
/// of Kafka are kept only in the latter case.
final class EventIDIndex {
    private struct Entry: Comparable {
        var id: EventID
        var row: UInt64

        static func < (left: Entry, right: Entry) -> Bool {
            left.id == right.id ? left.row < right.row : left.id < right.id
        }
    }

    private static let entrySize = 24
    /// Ids are hashes or random, so a part has its share.
    private static let parts = 64
    /// So many bytes of a part are written at once.
    private static let blockBytes = 1 << 16

    private let memoryBytes: Int
    private var entries: [Entry] = []
    private var isSealed = false
    /// Files of the rows' ids and of Kafka's; empty while everything is in memory.
    private var rowFiles: [PartFile] = []
    private var kafkaFiles: [PartFile] = []

    /// Rows whose id an earlier row has.
    private(set) var duplicates = RowSet()
    /// Rows whose id is in Kafka.
    private(set) var present = RowSet()

    /// - Parameter memoryBytes: how much the ids may take in memory.
    init(memoryBytes: Int = 64 << 20) { self.memoryBytes = memoryBytes }

    /// Whether the ids are in files.
    var isOnDisk: Bool { !rowFiles.isEmpty }

    /// Adds a row; rows come in ascending order.
    func add(_ id: EventID, row: Int) throws(ReplayFailure) {
        let entry = Entry(id: id, row: UInt64(row))
        if isOnDisk { return try write(entry) }
        entries.append(entry)
        guard entries.count * Self.entrySize > memoryBytes else { return }
        for _ in 0..<Self.parts { rowFiles.append(try PartFile(blockBytes: Self.blockBytes)) }
        for entry in entries { try write(entry) }
        entries = []
    }

    private func write(_ entry: Entry) throws(ReplayFailure) {
        try rowFiles[Self.part(of: entry.id)].append([entry.id.high, entry.id.low, entry.row])
    }

    private static func part(of id: EventID) -> Int { Int(id.high >> 58) }

    /// All rows have been added: ids of Kafka follow.
    func seal() throws(ReplayFailure) {
        guard !isSealed else { return }
        isSealed = true
        if isOnDisk {
            for _ in 0..<Self.parts { kafkaFiles.append(try PartFile(blockBytes: Self.blockBytes)) }
        } else {
            entries.sort()
        }
    }

    /// An id is in Kafka.
    func addFromKafka(_ id: EventID) throws(ReplayFailure) {
        if isOnDisk { return try kafkaFiles[Self.part(of: id)].append([id.high, id.low]) }
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].id < id { low = middle + 1 } else { high = middle }
        }
        while low < entries.count, entries[low].id == id {
            present.insert(Int(entries[low].row))
            low += 1
        }
    }

    /// Compares what was added.
    func finish() throws(ReplayFailure) {
        try seal()
        guard isOnDisk else { return mark(entries, isSorted: true) }
        for part in 0..<Self.parts {
            var ids: [EventID] = []
            try kafkaFiles[part].read(numbers: 2) { ids.append(EventID(high: $0[0], low: $0[1])) }
            let inKafka = Set(ids)
            ids = []
            var all: [Entry] = []
            try rowFiles[part].read(numbers: 3) {
                all.append(Entry(id: EventID(high: $0[0], low: $0[1]), row: $0[2]))
            }
            for entry in all where inKafka.contains(entry.id) { present.insert(Int(entry.row)) }
            mark(all, isSorted: false)
        }
    }

    private func mark(_ entries: [Entry], isSorted: Bool) {
        let sorted = isSorted ? entries : entries.sorted()
        for (before, entry) in zip(sorted, sorted.dropFirst()) where before.id == entry.id {
            duplicates.insert(Int(entry.row))
        }
    }
}

/// Numbers in a temporary file, written in blocks.
private final class PartFile {
    private let descriptor: Int32
    private let blockBytes: Int
    private var block: [UInt64] = []

    init(blockBytes: Int) throws(ReplayFailure) {
        descriptor = try ImportFile.temporaryFile()
        self.blockBytes = blockBytes
    }

    deinit { close(descriptor) }

    func append(_ numbers: [UInt64]) throws(ReplayFailure) {
        block += numbers
        if block.count * 8 >= blockBytes { try flush() }
    }

    private func flush() throws(ReplayFailure) {
        let bytes = block.withUnsafeBytes { Array($0) }
        block.removeAll(keepingCapacity: true)
        guard let code = Output.attempt(bytes, to: descriptor) else { return }
        throw ReplayFailure(message: "cannot write a temporary file: \(String(cString: strerror(code)))")
    }

    /// Visits groups of so many numbers.
    func read(numbers: Int, _ body: (UnsafeBufferPointer<UInt64>) -> Void) throws(ReplayFailure) {
        try flush()
        var buffer = [UInt64](repeating: 0, count: numbers * 8_192)
        var offset: off_t = 0
        while true {
            let count = buffer.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, offset) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw ReplayFailure(message: "cannot read a temporary file: \(String(cString: strerror(errno)))")
            }
            // A regular file is read in whole groups, but for its end.
            let groups = count / (numbers * 8)
            guard groups > 0 else { return }
            offset += off_t(groups * numbers * 8)
            buffer.withUnsafeBufferPointer { all in
                for group in 0..<groups {
                    body(UnsafeBufferPointer(rebasing: all[group * numbers..<(group + 1) * numbers]))
                }
            }
        }
    }
}
