/// The lines of a stream. A line that is too long is reported and passed.
final class ImportLines {
    private let stream: any ImportBytes
    private var buffer: [UInt8] = []
    private var at = 0
    private var isAtEnd = false
    /// The number of the line that was read last.
    private(set) var number = 0

    /// The longest row, in bytes: what the bridge takes of a request by default.
    static let longest = 1 << 20

    enum Line {
        /// Without its line feed and carriage return.
        case text([UInt8])
        case tooLong
    }

    init(_ stream: any ImportBytes) { self.stream = stream }

    /// nil at the end.
    func next() throws(ReplayFailure) -> Line? {
        var isTooLong = false
        var searched = at
        while true {
            if let end = buffer[searched...].firstIndex(of: 10) {
                number += 1
                defer { at = end + 1 }
                return isTooLong || end - at > Self.longest ? .tooLong : .text(trimmed(at..<end))
            }
            if buffer.count - at > Self.longest {
                isTooLong = true
                at = buffer.count
            }
            if isAtEnd {
                guard at < buffer.count || isTooLong else { return nil }
                number += 1
                defer { at = buffer.count }
                return isTooLong ? .tooLong : .text(trimmed(at..<buffer.count))
            }
            buffer.removeFirst(at)
            at = 0
            searched = buffer.count
            if let bytes = try stream.next() { buffer += bytes } else { isAtEnd = true }
        }
    }

    private func trimmed(_ range: Range<Int>) -> [UInt8] {
        var range = range
        if number == 1, buffer[range].starts(with: [0xEF, 0xBB, 0xBF]) {
            range = range.lowerBound + 3..<range.upperBound
        }
        if range.count > 0, buffer[range.upperBound - 1] == 13 { range = range.lowerBound..<range.upperBound - 1 }
        return Array(buffer[range])
    }
}

/// A format that has one row a line.
final class LineRows: ImportRows {
    private let lines: ImportLines
    private let parse: ([UInt8]) -> ParsedLine

    enum ParsedLine {
        case row(ImportRow)
        case malformed(String)
        case skipped(String)
    }

    /// - Parameter parse: reads a line; the row's line number is set afterwards.
    init(_ stream: any ImportBytes, parse: @escaping ([UInt8]) -> ParsedLine) {
        lines = ImportLines(stream)
        self.parse = parse
    }

    func next() throws(ReplayFailure) -> ImportItem? {
        while let line = try lines.next() {
            guard case .text(let text) = line else {
                return .malformed(line: lines.number, "longer than \(ImportLines.longest) bytes")
            }
            if text.allSatisfy({ $0 == 32 || $0 == 9 }) { continue }
            guard text.withUnsafeBytes(JSONText.isUTF8) else {
                return .malformed(line: lines.number, "not UTF-8 (see --encoding)")
            }
            switch parse(text) {
            case .row(var row):
                row.line = lines.number
                return .row(row)
            case .malformed(let problem): return .malformed(line: lines.number, problem)
            case .skipped(let reason): return .skipped(reason: reason)
            }
        }
        return nil
    }
}
