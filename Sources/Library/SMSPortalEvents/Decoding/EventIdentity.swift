internal import CSMSBridgeOpenSSL

/// Makes event ids: the first 16 bytes of SHA-256 over length-prefixed parts, in hexadecimal, or 16 random bytes.
///
/// The input begins with a domain and version, the event type, the account and the basis. Ids may not change between
/// releases, or a repeat that arrives across an update is no longer known; golden ids are pinned in a test.
struct EventIdentity: ~Copyable {
    private let context: UnsafeMutablePointer<SHA256_CTX>
    private let digest: UnsafeMutablePointer<UInt8>
    private let random: UnsafeMutablePointer<UInt8>
    private var randomLeft = 0
    private var input = ByteWriter(capacity: 4096)
    /// Positions and sort keys of the names, for up to ``fewParameters``.
    private let order: UnsafeMutablePointer<SortEntry>
    /// How many entries `order` has from the callback before.
    private var ordered = 0

    private struct SortEntry {
        var key: UInt64
        var position: Int
    }

    private static let fewParameters = 32
    private static let randomBatch = 1024
    private static let domain: StaticString = "smsportal event id 1"

    init() {
        context = .allocate(capacity: 1)
        digest = .allocate(capacity: 32)
        random = .allocate(capacity: Self.randomBatch)
        order = .allocate(capacity: Self.fewParameters)
    }

    deinit {
        context.deallocate()
        digest.deallocate()
        random.deallocate()
        order.deallocate()
    }

    private mutating func begin(type: EventType, account: Bytes, basis: EventIDBasis) {
        input.removeAll(keepingAtMost: 1 << 16)
        input.appendPart(Bytes(Self.domain))
        input.appendPart(Bytes(type.name))
        input.appendPart(account)
        input.appendPart(Bytes(basis.name))
    }

    /// Basis ``EventIDBasis/vendor``. `discriminator` is the status of a delivery, else empty.
    mutating func vendor(
        type: EventType, account: Bytes, messageID: Bytes, discriminator: Bytes, into id: inout ByteWriter
    ) {
        begin(type: type, account: account, basis: .vendor)
        input.appendPart(messageID)
        if type == .deliveryStatus { input.appendPart(discriminator) }
        finish(into: &id)
    }

    /// Basis ``EventIDBasis/fields``: every parameter, by name in lower case, those of one name in their order.
    mutating func fields(type: EventType, account: Bytes, _ list: borrowing ParameterList, into id: inout ByteWriter) {
        begin(type: type, account: account, basis: .fields)
        let count = list.count
        if count <= Self.fewParameters {
            if !isOrderedAsBefore(list) { sortFew(list) }
            ordered = count
            for index in 0..<count { append(list[order[index].position]) }
        } else {
            for position in sortedMany(list) { append(list[position]) }
        }
        finish(into: &id)
    }

    /// Basis ``EventIDBasis/reception``.
    mutating func reception(into id: inout ByteWriter) {
        if randomLeft < 16 { refill() }
        randomLeft -= 16
        id.appendHex(Bytes(base: UnsafePointer(random + randomLeft), count: 16))
    }

    private mutating func refill() {
        if RAND_bytes(random, Int32(Self.randomBatch)) != 1 {
            // OpenSSL has no entropy to give; the system's generator is as good, only slower.
            var generator = SystemRandomNumberGenerator()
            for index in 0..<Self.randomBatch { random[index] = UInt8.random(in: 0...255, using: &generator) }
        }
        randomLeft = Self.randomBatch
    }

    private mutating func finish(into id: inout ByteWriter) {
        let bytes = input.bytes
        guard smsbridge_sha256(context, bytes.base, bytes.count, digest) == 1 else {
            // Only a libcrypto that refuses SHA-256 comes here; a fresh id merges nothing.
            return reception(into: &id)
        }
        id.appendHex(Bytes(base: UnsafePointer(digest), count: 16))
    }

    @inline(__always)
    private mutating func append(_ parameter: Parameter) {
        // Null is not an empty text, and neither is a missing parameter; 1 and "1" are the same: GET knows no types.
        let kind: UInt8 =
            switch parameter.kind {
            case .text, .literal: 0
            case .null: 1
            case .nested: 2
            }
        input.appendParameter(name: parameter.name, kind: kind, value: parameter.value)
    }

    /// Whether the order of the callback before holds for this one: callbacks of one kind have their names in one order. Only
    /// where keys tell all names apart.
    private func isOrderedAsBefore(_ list: borrowing ParameterList) -> Bool {
        let count = list.count
        guard count == ordered, count > 0 else { return false }
        // The entries are the positions from 0 to the count, in some order.
        var before = list[order[0].position].nameKey
        var index = 1
        while index < count {
            let key = list[order[index].position].nameKey
            guard before < key else { return false }
            before = key
            index &+= 1
        }
        return true
    }

    /// Puts the positions in order by name, and by position within a name: straight insertion.
    private func sortFew(_ list: borrowing ParameterList) {
        precondition(list.count <= Self.fewParameters)
        for position in 0..<list.count {
            let name = list[position].name
            let key = list[position].nameKey
            var at = position
            while at > 0 {
                let before = order[at - 1]
                if before.key < key { break }
                if before.key == key, compareIgnoringCase(list[before.position].name, name) <= 0 { break }
                order[at] = before
                at -= 1
            }
            order[at] = SortEntry(key: key, position: position)
        }
    }

    /// The same by the library's sort, which does not take time with the square of the number.
    private func sortedMany(_ list: borrowing ParameterList) -> [Int] {
        var names: [Bytes] = []
        names.reserveCapacity(list.count)
        for position in 0..<list.count { names.append(list[position].name) }
        return names.indices.sorted {
            let order = compareIgnoringCase(names[$0], names[$1])
            return order < 0 || (order == 0 && $0 < $1)
        }
    }
}

/// Negative, zero or positive, by bytes with ASCII letters in lower case; a prefix comes first.
@inline(__always)
private func compareIgnoringCase(_ left: Bytes, _ right: Bytes) -> Int {
    var index = 0
    let shared = min(left.count, right.count)
    while index < shared {
        let difference = Int(asciiLowercase(left[index])) - Int(asciiLowercase(right[index]))
        if difference != 0 { return difference }
        index += 1
    }
    return left.count - right.count
}
