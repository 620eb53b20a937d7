import CSMSBridgeExpat
import SMSPortalEvents

/// Rows of the vendor's polling interface (API5): `<data>` elements directly below the root, one element a column. Their columns
/// are renamed to the parameters of a callback by GET, so that ids are those that the webhook would have had.
///
/// XML that is not well-formed is reported with its line, and reading goes on with the next row.
final class XMLRows: ImportRows {
    private let stream: any ImportBytes
    private let options: ImportOptions
    private var parser: XMLRowParser
    /// What the parser has not been given yet.
    private var pending: [UInt8] = []
    private var isAtEnd = false
    /// The line at which `pending` begins, from 1.
    private var line = 1
    private var items: [ImportItem] = []
    private var nextItem = 0
    /// Whether a row is looked for after an error.
    private var isRecovering = false
    /// The name of the root element, once there was one.
    private var root = "api_result"

    init(_ stream: any ImportBytes, _ options: ImportOptions, encoding: String?) throws(ReplayFailure) {
        self.stream = stream
        self.options = options
        // What was converted is UTF-8, whatever the document says.
        forcedEncoding = encoding == nil ? nil : "UTF-8"
        parser = try XMLRowParser(encoding: forcedEncoding)
    }

    /// nil for the one that the document declares.
    private let forcedEncoding: String?
    private var declaredEncoding: String?
    /// Line breaks in what the parser was given before the last chunk.
    private var linesGiven = 0

    func next() throws(ReplayFailure) -> ImportItem? {
        while true {
            if nextItem < items.count {
                nextItem += 1
                return items[nextItem - 1]
            }
            items = []
            nextItem = 0
            if isRecovering, try !recover() { return nil }
            if pending.isEmpty {
                guard !isAtEnd else { return nil }
                if let bytes = try stream.next() {
                    pending = bytes
                } else {
                    isAtEnd = true
                    finish()
                    continue
                }
            }
            try parse()
        }
    }

    /// The end of the file.
    private func finish() {
        guard parser.hasBegun, !parser.hasEnded, !isRecovering else { return }
        if let problem = parser.parse([], isLast: true) {
            items.append(.malformed(line: line + problem.line - 1, "not well-formed XML: \(problem.text)"))
        }
    }

    private func parse() throws(ReplayFailure) {
        // Blanks between documents, and a mark of the byte order.
        if !parser.hasBegun {
            let blanks = pending.prefix { [9, 10, 13, 32, 0xEF, 0xBB, 0xBF].contains($0) }
            if !blanks.isEmpty, blanks.count < pending.count || blanks.allSatisfy({ $0 <= 32 }) {
                line += blanks.count { $0 == 10 }
                pending.removeFirst(blanks.count)
                guard !pending.isEmpty else { return }
            }
        }
        let chunk = pending
        let problem = parser.parse(chunk, isLast: false)
        for row in parser.takeRows() { items.append(item(row)) }
        if let name = parser.root { root = name }
        declaredEncoding = parser.declaredEncoding ?? declaredEncoding
        if let problem {
            items.append(.malformed(line: line + problem.line - 1, "not well-formed XML: \(problem.text)"))
            // The error may lie in what was given before; the next row does not.
            pending = Array(chunk[min(max(0, problem.offset), chunk.count)...])
            line += problem.offset < 0 ? linesGiven : problem.line - 1
            isRecovering = true
            return
        }
        if parser.hasEnded {
            let end = min(max(0, parser.endOffset), chunk.count)
            line += parser.lines
            pending = Array(chunk[end...])
            linesGiven = 0
            declaredEncoding = nil
            parser = try XMLRowParser(encoding: forcedEncoding)
            return
        }
        linesGiven += chunk.count { $0 == 10 }
        pending = []
    }

    // MARK: After an error

    private static let rowEnd = Array("</data>".utf8)
    private static let rowStart = Array("<data>".utf8)

    /// Looks for a row that begins behind the end of another one.
    ///
    /// - Returns: false at the end of the file.
    private func recover() throws(ReplayFailure) -> Bool {
        while true {
            if let (start, lines) = nextRow() {
                line += lines
                pending.removeFirst(start)
                parser = try XMLRowParser(encoding: forcedEncoding ?? declaredEncoding)
                linesGiven = 0
                _ = parser.parse(Array("<\(root)>".utf8), isLast: false)
                isRecovering = false
                return true
            }
            guard !isAtEnd else { return false }
            // What may be the beginning of such a place stays.
            let kept = min(pending.count, 256)
            line += pending[..<(pending.count - kept)].count { $0 == 10 }
            pending.removeFirst(pending.count - kept)
            if let bytes = try stream.next() { pending += bytes } else { isAtEnd = true }
        }
    }

    private func nextRow() -> (start: Int, lines: Int)? {
        var index = 0
        while index + Self.rowEnd.count <= pending.count {
            guard pending[index] == UInt8(ascii: "<"), pending[index...].starts(with: Self.rowEnd) else {
                index += 1
                continue
            }
            var start = index + Self.rowEnd.count
            while start < pending.count, [9, 10, 13, 32].contains(pending[start]) { start += 1 }
            if pending[start...].starts(with: Self.rowStart) {
                return (start, pending[..<start].count { $0 == 10 })
            }
            index += 1
        }
        return nil
    }

    // MARK: Rows

    /// The columns of a table of the vendor, and the parameters that they are of a callback by GET.
    private struct Table {
        let type: EventType
        /// Columns that only this table has.
        let evidence: [String]
        let names: [String: String]
    }

    private static let tables = [
        Table(
            type: .reply, evidence: ["replyid"],
            names: [
                "replyid": "IncomingID", "numfrom": "Phonenumber", "receiveddata": "IncomingData",
                "received": "IncomingDataTime", "sentid": "SentID", "sentdata": "SentData",
                "sentdatetime": "SentDataTime",
                "sentcustomerid": "CustomerID", "eventid": "EventID",
            ]),
        Table(type: .shortCode, evidence: ["shortcode"], names: [:]),
        Table(
            type: .deliveryStatus, evidence: ["sentid", "numto"],
            names: [
                "sentid": "ID", "numto": "Phonenumber", "smstype": "DataType", "data": "Data", "status": "Status",
                "statusdate": "SentDataTime", "eventid": "EventID", "customerid": "CustomerID",
            ]),
    ]

    private func item(_ row: XMLRowParser.Row) -> ImportItem {
        let line = line + row.line - 1
        switch row.content {
        case .failure(let text):
            return .malformed(line: line, "the vendor's answer is an error: \(text)")
        case .tooLong: return .malformed(line: line, "longer than \(ImportLines.longest) bytes")
        case .columns(let columns):
            let names = Set(columns.map { $0.name.lowercased() })
            let table =
                Self.tables.first { $0.evidence.allSatisfy(names.contains) }
                ?? options.type.map { Table(type: $0, evidence: [], names: [:]) }
            guard let table else {
                return .malformed(
                    line: line, "neither a sent message, a reply nor a message to a short code (see --type)")
            }
            var result = ImportRow(line: line, route: options.type ?? table.type, contentType: "application/json")
            var object = JSONObjectWriter()
            for (name, text) in columns {
                if name == options.receivedAt {
                    guard let time = ImportTime.milliseconds(String(decoding: text, as: UTF8.self)) else {
                        return .malformed(line: line, "\(name): not a time")
                    }
                    result.receivedAt = time
                    continue
                }
                object.append(Array((table.names[name.lowercased()] ?? name).utf8), text: text)
            }
            result.body = object.end()
            return .row(result)
        }
    }
}

/// A parser of one document, or of the rest of one.
private final class XMLRowParser {
    struct Row {
        enum Content {
            case columns([(name: String, text: [UInt8])])
            case failure(String)
            case tooLong
        }

        let content: Content
        /// Within what was given to this parser, from 1.
        let line: Int
    }

    struct Problem {
        let text: String
        /// Within what was given to this parser, from 1.
        let line: Int
        /// Within the chunk that was given last; below 0 where it lies before it.
        let offset: Int
    }

    private let parser: XML_Parser
    private var depth = 0
    private var isRow = false
    private var column: String?
    private var text: [UInt8] = []
    private var columns: [(name: String, text: [UInt8])] = []
    private var rowLine = 1
    private var rowBytes = 0
    private var rows: [Row] = []
    private var hasFailed = false
    /// Bytes that were given before the last chunk.
    private var given = 0
    private(set) var hasBegun = false
    /// Whether the root element has ended.
    private(set) var hasEnded = false
    private(set) var root: String?
    fileprivate(set) var declaredEncoding: String?
    private var rejection: String?

    /// - Parameter encoding: nil for the one that the document declares.
    init(encoding: String?) throws(ReplayFailure) {
        guard let parser = encoding.map({ XML_ParserCreate($0) }) ?? XML_ParserCreate(nil) else {
            throw ReplayFailure(message: "expat cannot be initialised")
        }
        self.parser = parser
        XML_SetUserData(parser, Unmanaged.passUnretained(self).toOpaque())
        XML_SetElementHandler(
            parser,
            { context, name, _ in
                guard let context, let name else { return }
                XMLRowParser.of(context).begin(String(cString: name))
            },
            { context, _ in
                guard let context else { return }
                XMLRowParser.of(context).end()
            })
        XML_SetCharacterDataHandler(parser) { context, bytes, count in
            guard let context, let bytes else { return }
            XMLRowParser.of(context).append(
                UnsafeRawBufferPointer(start: UnsafeRawPointer(bytes), count: Int(count)))
        }
        XML_SetXmlDeclHandler(parser) { context, _, encoding, _ in
            guard let context, let encoding else { return }
            XMLRowParser.of(context).declaredEncoding = String(cString: encoding)
        }
        // An answer of the vendor has none; entities that expand to gigabytes need one.
        XML_SetStartDoctypeDeclHandler(parser) { context, _, _, _, _ in
            guard let context else { return }
            XMLRowParser.of(context).reject("a document type declaration is not accepted")
        }
        XML_SetUnknownEncodingHandler(
            parser,
            { _, name, info in
                guard let name, let info, String(cString: name).lowercased() == "windows-1252" else { return 0 }
                return XMLRowParser.describeWindows1252(info)
            }, nil)
    }

    deinit { XML_ParserFree(parser) }

    private static func of(_ context: UnsafeMutableRawPointer) -> XMLRowParser {
        Unmanaged<XMLRowParser>.fromOpaque(context).takeUnretainedValue()
    }

    /// Windows-1252: Latin-1, but for 32 code points (Unicode's CP1252.TXT).
    private static func describeWindows1252(_ info: UnsafeMutablePointer<XML_Encoding>) -> Int32 {
        let special: [Int32] = [
            0x20AC, -1, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, -1,
            0x017D, -1,
            -1, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, -1,
            0x017E,
            0x0178,
        ]
        withUnsafeMutableBytes(of: &info.pointee.map) { raw in
            let map = raw.bindMemory(to: Int32.self)
            for byte in 0..<256 { map[byte] = (0x80..<0xA0).contains(byte) ? special[byte - 0x80] : Int32(byte) }
        }
        info.pointee.data = nil
        info.pointee.convert = nil
        info.pointee.release = nil
        return 1
    }

    /// - Returns: why the document cannot be read on.
    func parse(_ bytes: [UInt8], isLast: Bool) -> Problem? {
        if !bytes.isEmpty { hasBegun = true }
        let status = bytes.withUnsafeBytes {
            XML_Parse(parser, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count), isLast ? 1 : 0)
        }
        defer { given += bytes.count }
        // It is stopped behind the root element, for what follows may be another document.
        guard status != XML_STATUS_OK, !hasEnded else { return nil }
        let text =
            rejection ?? XML_ErrorString(XML_GetErrorCode(parser)).map { String(cString: $0) } ?? "unknown error"
        return Problem(
            text: text, line: Int(shim_xml_line(parser)), offset: Int(shim_xml_offset(parser)) - given)
    }

    /// Where the root element has ended, in the chunk that was given last.
    private(set) var endOffset = 0
    /// Line breaks up to there.
    private(set) var lines = 0

    func takeRows() -> [Row] {
        defer { rows = [] }
        return rows
    }

    private func reject(_ reason: String) {
        rejection = reason
        XML_StopParser(parser, XML_Bool(XML_FALSE))
    }

    private func begin(_ name: String) {
        depth += 1
        switch depth {
        case 1: root = name
        case 2:
            isRow = name.lowercased() == "data"
            rowLine = Int(shim_xml_line(parser))
            columns = []
            rowBytes = 0
            hasFailed = false
        case 3:
            column = name
            text = []
        default: break
        }
    }

    private func append(_ bytes: UnsafeRawBufferPointer) {
        guard depth >= 3 else { return }
        rowBytes += bytes.count
        // A row that is too long is counted, and not kept.
        if rowBytes <= ImportLines.longest { text += bytes }
    }

    private func end() {
        defer { depth -= 1 }
        switch depth {
        case 1:
            hasEnded = true
            endOffset = Int(shim_xml_offset(parser) + shim_xml_length(parser)) - given
            lines = Int(shim_xml_line(parser)) - 1
            XML_StopParser(parser, XML_Bool(XML_FALSE))
        case 2:
            if isRow {
                rows.append(
                    Row(content: rowBytes > ImportLines.longest ? .tooLong : .columns(columns), line: rowLine))
            } else if hasFailed {
                let reason = columns.first { $0.name.lowercased() == "error" }.map {
                    String(decoding: $0.text, as: UTF8.self)
                }
                rows.append(Row(content: .failure(reason ?? "without a reason"), line: rowLine))
            }
        case 3:
            guard let column else { return }
            if !isRow, column.lowercased() == "result", String(decoding: text, as: UTF8.self).lowercased() == "false" {
                hasFailed = true
            }
            columns.append((column, text))
        default: break
        }
    }
}
