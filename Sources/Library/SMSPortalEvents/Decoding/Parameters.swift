/// What the value of a parameter is on the wire.
enum ParameterKind: UInt8 {
    /// Text: a JSON string, or anything in a query string or form.
    case text
    /// A JSON number or a boolean, as its source text.
    case literal
    /// JSON's null.
    case null
    /// A JSON object or array, as its source text.
    case nested
}

/// One name and its value, unescaped. Both point into the callback or into the reader's scratch memory.
struct Parameter {
    var name: Bytes
    var value: Bytes
    var kind: ParameterKind
    /// Whether it came in the body; otherwise in the query string.
    var isFromBody: Bool
    /// Position in a ``NameTable``; ``NameTable/unknown`` where the name means nothing to us.
    var nameIndex: UInt8
    /// Of an object whose members were read, too: how many follow it in the list; -1 for anything else.
    var members: Int32 = -1
    /// The ``Bytes/lowercaseSortKey`` of the name; set together with the index.
    var nameKey: UInt64
}

extension Parameter {
    /// Whether a program could read the name as `secret`: in any letter case, behind signs that are no part of a name,
    /// and before the end, an index or another such sign; or whether the word occurs in an object or array.
    var isSecret: Bool {
        let word = Bytes("secret")
        if kind == .nested {
            var at = 0
            while value.count - at >= word.count {
                if value[at..<at + word.count].equalsIgnoringCase(word) { return true }
                at += 1
            }
        }
        func isNamePart(_ byte: UInt8) -> Bool {
            isDigit(byte) || asciiLowercase(byte) &- 0x61 < 26 || byte == 0x5F || byte == 0x2D
        }
        guard name.count >= word.count else { return false }
        var at = 0
        while at < name.count, !isNamePart(name[at]) { at += 1 }
        guard name.count - at >= word.count, name[at..<at + word.count].equalsIgnoringCase(word) else { return false }
        return at + word.count == name.count || !isNamePart(name[at + word.count])
    }
}

/// The parameters of one callback in the order in which they came, repeats included. Its memory is reused.
struct ParameterList: ~Copyable {
    private var base: UnsafeMutablePointer<Parameter>
    private var capacity: Int
    private(set) var count = 0

    /// The most parameters of one callback. The vendor's richest has some thirty; what has thousands is made to be
    /// dear.
    static let most = 4096
    private static let usualCapacity = 64

    init() {
        capacity = Self.usualCapacity
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    mutating func removeAll() { count = 0 }

    /// Takes back everything from a position on.
    mutating func removeAll(from position: Int) {
        precondition(position >= 0 && position <= count)
        count = position
    }

    /// Appends a parameter of another list.
    mutating func append(_ other: Parameter) throws(ScanFailure) {
        try append(name: other.name, value: other.value, kind: other.kind, isFromBody: other.isFromBody)
    }

    /// Appends an object whose members follow it; ``close(_:value:)`` says where it ends.
    ///
    /// - Returns: its position.
    mutating func open(name: Bytes, isFromBody: Bool) throws(ScanFailure) -> Int {
        try append(name: name, value: .empty, kind: .nested, isFromBody: isFromBody)
        return count - 1
    }

    /// Everything after the object at a position is one of its members.
    mutating func close(_ position: Int, value: Bytes) {
        precondition(UInt(bitPattern: position) < UInt(bitPattern: count))
        base[position].value = value
        base[position].members = Int32(truncatingIfNeeded: count - position - 1)
    }

    /// - Throws: at once when there are too many: the rest is not even looked at.
    @inline(__always)
    mutating func append(name: Bytes, value: Bytes, kind: ParameterKind, isFromBody: Bool) throws(ScanFailure) {
        if count == capacity {
            guard count < Self.most else { throw ScanFailure(reason: .tooMany, offset: 0, isInBody: isFromBody) }
            grow()
        }
        (base + count).initialize(
            to: Parameter(
                name: name, value: value, kind: kind, isFromBody: isFromBody, nameIndex: NameTable.unknown,
                nameKey: 0))
        count &+= 1
    }

    @inline(never)
    private mutating func grow() {
        let moved = UnsafeMutablePointer<Parameter>.allocate(capacity: capacity * 2)
        moved.update(from: base, count: count)
        base.deallocate()
        base = moved
        capacity *= 2
    }

    @inline(__always)
    subscript(index: Int) -> Parameter {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
        return base[index]
    }

    /// Whether no name occurs twice from a position on, whatever the case of its ASCII letters.
    func hasDistinctNames(from position: Int) -> Bool {
        var names: Set<[UInt8]> = []
        for index in position..<count where !names.insert(self[index].name.array.map(asciiLowercase)).inserted {
            return false
        }
        return true
    }

    /// Notes what was found out about a name.
    @inline(__always)
    mutating func setName(index nameIndex: UInt8, key: UInt64, at index: Int) {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
        base[index].nameIndex = nameIndex
        base[index].nameKey = key
    }
}

/// Why parameters could not be read, and where.
struct ScanFailure: Error {
    var reason: UnrecognisedReason.Known
    /// Offset of the first byte that cannot stand where it stands.
    var offset: Int
    var isInBody = true
}
