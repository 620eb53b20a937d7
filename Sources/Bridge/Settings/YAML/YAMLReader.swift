internal import CSMSBridgeYAML

/// Reads one YAML document of plain nested mappings, lists and scalars, through libyaml's events.
///
/// Anchors, aliases, tags, keys that are not scalars, keys given twice and a second document are refused, each with its
/// place. All of them are found in one pass; only a syntax error ends it.
struct YAMLReader {
    struct Problem: Equatable {
        var mark: YAMLMark
        var message: String
    }

    struct Result {
        /// Nil when the document is empty or was not read to its end.
        var root: YAMLNode?
        var problems: [Problem]
        /// False after a syntax error: then nothing can be said of what the file does not hold.
        var isComplete: Bool
    }

    static let maximumDepth = 16

    private var parser: UnsafeMutablePointer<yaml_parser_t>
    private let bytes: UnsafeBufferPointer<UInt8>
    private var problems: [Problem] = []
    private var isBroken = false

    static func read(_ bytes: [UInt8]) -> Result {
        bytes.withUnsafeBufferPointer { buffer in
            let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
            defer { parser.deallocate() }
            guard yaml_parser_initialize(parser) == 1 else {
                return Result(
                    root: nil, problems: [Problem(mark: YAMLMark(line: 1, column: 1), message: "out of memory")],
                    isComplete: false)
            }
            defer { yaml_parser_delete(parser) }
            // libyaml wants a pointer even to nothing.
            let nothing: StaticString = ""
            yaml_parser_set_input_string(parser, buffer.baseAddress ?? nothing.utf8Start, buffer.count)
            var reader = YAMLReader(parser: parser, bytes: buffer)
            let root = reader.document()
            return Result(
                root: reader.isBroken ? nil : root, problems: reader.problems, isComplete: !reader.isBroken)
        }
    }

    private init(parser: UnsafeMutablePointer<yaml_parser_t>, bytes: UnsafeBufferPointer<UInt8>) {
        self.parser = parser
        self.bytes = bytes
    }

    private enum Event {
        case end
        case documentStart
        case other
        case alias
        case scalar(String, isPlain: Bool)
        case sequenceStart
        case sequenceEnd
        case mappingStart
        case mappingEnd
    }

    /// The next event; nil after a syntax error. Anchors and tags are refused here.
    private mutating func next() -> (event: Event, mark: YAMLMark)? {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else {
            isBroken = true
            problems.append(syntaxError())
            return nil
        }
        defer { yaml_event_delete(&event) }
        let mark = YAMLMark(line: Int(event.start_mark.line) + 1, column: Int(event.start_mark.column) + 1)
        switch event.type {
        case YAML_STREAM_END_EVENT: return (.end, mark)
        case YAML_DOCUMENT_START_EVENT: return (.documentStart, mark)
        case YAML_ALIAS_EVENT:
            problems.append(Problem(mark: mark, message: "aliases (*name) are not supported: repeat the value"))
            return (.alias, mark)
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            refuse(anchor: scalar.anchor, tag: scalar.tag, at: mark)
            let text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            return (.scalar(text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), mark)
        case YAML_SEQUENCE_START_EVENT:
            refuse(anchor: event.data.sequence_start.anchor, tag: event.data.sequence_start.tag, at: mark)
            return (.sequenceStart, mark)
        case YAML_MAPPING_START_EVENT:
            refuse(anchor: event.data.mapping_start.anchor, tag: event.data.mapping_start.tag, at: mark)
            return (.mappingStart, mark)
        case YAML_SEQUENCE_END_EVENT: return (.sequenceEnd, mark)
        case YAML_MAPPING_END_EVENT: return (.mappingEnd, mark)
        default: return (.other, mark)
        }
    }

    private mutating func refuse(
        anchor: UnsafeMutablePointer<yaml_char_t>?, tag: UnsafeMutablePointer<yaml_char_t>?, at mark: YAMLMark
    ) {
        if anchor != nil {
            problems.append(Problem(mark: mark, message: "anchors (&name) are not supported: repeat the value"))
        }
        if tag != nil {
            problems.append(
                Problem(mark: mark, message: "tags (!name) are not supported: the setting itself has a type"))
        }
    }

    private mutating func document() -> YAMLNode? {
        var root: YAMLNode?
        var documents = 0
        while let (event, mark) = next() {
            switch event {
            case .end: return root
            case .documentStart:
                documents += 1
                if documents > 1 {
                    problems.append(Problem(mark: mark, message: "a second document begins here: only one is read"))
                    return root
                }
            case .other: break
            default:
                root = node(event, mark, depth: 0)
                if isBroken { return nil }
            }
        }
        return nil
    }

    private mutating func node(_ event: Event, _ mark: YAMLMark, depth: Int) -> YAMLNode? {
        if depth > Self.maximumDepth {
            problems.append(Problem(mark: mark, message: "nested deeper than \(Self.maximumDepth) levels"))
            isBroken = true
            return nil
        }
        switch event {
        case .scalar(let text, let isPlain):
            let isNull = isPlain && ["", "~", "null", "Null", "NULL"].contains(text)
            return .scalar(text, isNull: isNull, mark)
        case .sequenceStart: return sequence(mark, depth: depth)
        case .mappingStart: return mapping(mark, depth: depth)
        default: return nil
        }
    }

    private mutating func sequence(_ mark: YAMLMark, depth: Int) -> YAMLNode? {
        var items: [YAMLNode] = []
        while let (event, place) = next() {
            if case .sequenceEnd = event { return .sequence(items, mark) }
            if let item = node(event, place, depth: depth + 1) { items.append(item) }
            if isBroken { return nil }
        }
        return nil
    }

    private mutating func mapping(_ mark: YAMLMark, depth: Int) -> YAMLNode? {
        var entries: [YAMLNode.Entry] = []
        var places: [String: YAMLMark] = [:]
        while let (event, place) = next() {
            if case .mappingEnd = event { return .mapping(entries, mark) }
            var key: String?
            if case .scalar(let text, _) = event {
                key = text
            } else {
                _ = node(event, place, depth: depth + 1)
                if !isBroken { problems.append(Problem(mark: place, message: "a key is a single word")) }
            }
            if isBroken { return nil }
            guard let (valueEvent, valuePlace) = next() else { return nil }
            let value = node(valueEvent, valuePlace, depth: depth + 1)
            if isBroken { return nil }
            guard let key else { continue }
            if let first = places[key] {
                problems.append(
                    Problem(
                        mark: place,
                        message:
                            "the key \(quoted(key)) stands here again; the first is at \(first.line):\(first.column)"))
                continue
            }
            places[key] = place
            if let value { entries.append(YAMLNode.Entry(key: key, mark: place, value: value)) }
        }
        return nil
    }

    private func syntaxError() -> Problem {
        func text(_ pointer: UnsafePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }
        let problem = text(parser.pointee.problem) ?? "not valid YAML"
        if parser.pointee.error == YAML_READER_ERROR {
            // The bytes are not characters; libyaml tells only their offset.
            let before = bytes.prefix(Int(parser.pointee.problem_offset))
            let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
            return Problem(
                mark: YAMLMark(
                    line: before.count { $0 == UInt8(ascii: "\n") } + 1, column: before.count - start + 1),
                message: problem)
        }
        let mark = parser.pointee.problem_mark
        let context = text(parser.pointee.context).map { " (\($0))" } ?? ""
        return Problem(
            mark: YAMLMark(line: Int(mark.line) + 1, column: Int(mark.column) + 1),
            message: "not valid YAML: \(problem)\(context)")
    }
}
