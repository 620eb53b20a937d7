import SMSPortalEvents

/// CSV with a header line (RFC 4180): quoted cells may contain the delimiter, line breaks, and quotes that are doubled.
///
/// A row that is malformed is reported, and reading goes on with the next line: a quote that is never closed does not
/// swallow the rest of the file.
final class CSVRows: ImportRows {
    private let stream: any ImportBytes
    private let options: ImportOptions
    private let delimiter: UInt8
    private var buffer: [UInt8] = []
    private var at = 0
    private var isAtEnd = false
    /// The line at which `at` stands, from 1.
    private var line = 1
    private var header: [[UInt8]]?
    /// Whether the rest of a line is passed, because the line was reported.
    private var isPassing = false

    struct Cell: Equatable {
        var text: [UInt8]
        var isQuoted: Bool
    }

    init(_ stream: any ImportBytes, _ options: ImportOptions, delimiter: UInt8) {
        self.stream = stream
        self.options = options
        self.delimiter = delimiter
    }

    func next() throws(ReplayFailure) -> ImportItem? {
        while true {
            guard let (outcome, start) = try record() else { return nil }
            switch outcome {
            case .malformed(let problem):
                guard header != nil else {
                    throw ReplayFailure(
                        message: "\(stream.name), line \(start.line): the header line cannot be read: \(problem)")
                }
                return .malformed(line: start.line, problem)
            case .cells(let cells, let breaks):
                if cells.count == 1, cells[0].text.isEmpty, !cells[0].isQuoted { continue }
                guard cells.allSatisfy({ $0.text.withUnsafeBytes(JSONText.isUTF8) }) else {
                    if header == nil {
                        throw ReplayFailure(message: "\(stream.name): the header line is not UTF-8 (see --encoding)")
                    }
                    return .malformed(line: start.line, "not UTF-8 (see --encoding)")
                }
                guard let header else {
                    try setHeader(cells)
                    continue
                }
                guard cells.count == header.count else {
                    // Two quotes that are not closed swallow what is between them.
                    if breaks > 1 { restart(at: start) }
                    return .malformed(line: start.line, "\(cells.count) cells, and the header has \(header.count)")
                }
                return row(cells, header, line: start.line)
            }
        }
    }

    private func setHeader(_ cells: [Cell]) throws(ReplayFailure) {
        let names = cells.map { cell in cell.text.filter { $0 != 0 } }
        guard names.allSatisfy({ !$0.isEmpty }), Set(names).count == names.count else {
            throw ReplayFailure(message: "\(stream.name): the header line has an empty name, or a name twice")
        }
        if let name = options.receivedAt, !names.contains(Array(name.utf8)) {
            throw ReplayFailure(message: "\(stream.name): --received-at: there is no column \(name)")
        }
        header = names
    }

    private func row(_ cells: [Cell], _ header: [[UInt8]], line: Int) -> ImportItem {
        var row = ImportRow(line: line, route: options.type, contentType: "application/json")
        var object = JSONObjectWriter()
        let received = options.receivedAt.map { Array($0.utf8) }
        for (name, cell) in zip(header, cells) {
            if name == received {
                guard let time = ImportTime.milliseconds(String(decoding: cell.text, as: UTF8.self)) else {
                    return .malformed(line: line, "\(options.receivedAt ?? ""): not a time")
                }
                row.receivedAt = time
            } else if !cell.text.isEmpty || cell.isQuoted || options.keepsEmptyCells {
                object.append(name, text: cell.text)
            }
        }
        row.body = object.end()
        return .row(row)
    }

    // MARK: Records

    private enum Outcome {
        case cells([Cell], breaks: Int)
        case malformed(String)
    }

    /// Where a record begins.
    private struct Start {
        let line: Int
        let offset: Int
    }

    private enum Scanned {
        /// The cells, where the next record begins, and how many line breaks were passed.
        case record([Cell], end: Int, breaks: Int)
        case malformed(String)
        /// The record is not complete yet.
        case incomplete
    }

    /// The next record; nil at the end. Its offset is valid until the next call.
    private func record() throws(ReplayFailure) -> (Outcome, Start)? {
        while true {
            if isPassing { passLine() }
            let start = Start(line: line, offset: at)
            switch isPassing ? .incomplete : scan() {
            case .record(let cells, let end, let breaks):
                let isTooLong = end - at > ImportLines.longest
                at = end
                line += breaks
                return (
                    isTooLong
                        ? .malformed("longer than \(ImportLines.longest) bytes") : .cells(cells, breaks: breaks), start
                )
            case .malformed(let problem):
                passLine()
                return (.malformed(problem), start)
            case .incomplete:
                if buffer.count - at > ImportLines.longest {
                    passLine()
                    return (
                        .malformed("longer than \(ImportLines.longest) bytes, or a quote that is not closed"), start
                    )
                }
                guard !isAtEnd else { return nil }
                buffer.removeFirst(at)
                at = 0
                if let bytes = try stream.next() { buffer += bytes } else { isAtEnd = true }
                if line == 1, header == nil, buffer.starts(with: [0xEF, 0xBB, 0xBF]) { buffer.removeFirst(3) }
            }
        }
    }

    /// Goes on with the next line.
    private func passLine() {
        guard let end = buffer[at...].firstIndex(of: 10) else {
            at = buffer.count
            isPassing = true
            return
        }
        isPassing = false
        at = end + 1
        line += 1
    }

    /// Goes on with the line after the one that a record began at.
    private func restart(at start: Start) {
        at = start.offset
        line = start.line
        passLine()
    }

    private func scan() -> Scanned {
        guard at < buffer.count else { return .incomplete }
        var cells: [Cell] = []
        var text: [UInt8] = []
        var index = at
        var breaks = 0
        while true {
            // At the beginning of a cell.
            guard index < buffer.count || isAtEnd else { return .incomplete }
            if index < buffer.count, buffer[index] == UInt8(ascii: "\"") {
                index += 1
                quoted: while true {
                    guard index < buffer.count else {
                        return isAtEnd ? .malformed("a quote that is not closed") : .incomplete
                    }
                    let byte = buffer[index]
                    index += 1
                    if byte == 10 { breaks += 1 }
                    guard byte == UInt8(ascii: "\"") else {
                        text.append(byte)
                        continue
                    }
                    guard index < buffer.count else {
                        if isAtEnd { break quoted }
                        return .incomplete
                    }
                    guard buffer[index] == UInt8(ascii: "\"") else { break quoted }
                    text.append(byte)
                    index += 1
                }
                cells.append(Cell(text: text, isQuoted: true))
            } else {
                while index < buffer.count, buffer[index] != delimiter, buffer[index] != 10 {
                    if buffer[index] == UInt8(ascii: "\"") { return .malformed("a quote within a cell without quotes") }
                    text.append(buffer[index])
                    index += 1
                }
                guard index < buffer.count || isAtEnd else { return .incomplete }
                // The carriage return belongs to the line break.
                if text.last == 13, index == buffer.count || buffer[index] == 10 { text.removeLast() }
                cells.append(Cell(text: text, isQuoted: false))
            }
            text = []
            // Behind a cell.
            guard index < buffer.count else {
                return isAtEnd ? .record(cells, end: index, breaks: breaks) : .incomplete
            }
            if buffer[index] == delimiter {
                index += 1
                continue
            }
            if buffer[index] == 13 {
                guard index + 1 < buffer.count || isAtEnd else { return .incomplete }
                if index + 1 == buffer.count { return .record(cells, end: index + 1, breaks: breaks) }
                if buffer[index + 1] == 10 { index += 1 }
            }
            guard buffer[index] == 10 else { return .malformed("text after the closing quote of a cell") }
            return .record(cells, end: index + 1, breaks: breaks + 1)
        }
    }
}
