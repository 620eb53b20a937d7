/// Which parameter names mean which fields: the vendor's names of all generations, and those that a configuration adds.
///
/// The source of the vendor's names is docs/control-panel.md.
final class Vocabulary {
    let names: NameTable
    /// Per name and type: the field, and how preferred the name is among those of the same field.
    private let meanings: UnsafeMutablePointer<Meaning>
    private let evidence: UnsafeMutablePointer<Evidence>
    private let count: Int

    struct Meaning {
        /// Raw value of a ``Field``; 255 for none.
        var field: UInt8
        /// 0 for a configured name, then the vendor's names in order of preference.
        var rank: UInt8

        static let none = Meaning(field: 255, rank: 255)
    }

    @inline(__always)
    func meaning(of nameIndex: UInt8, in type: Int) -> Meaning {
        precondition(Int(nameIndex) < count && type >= 0 && type < EventType.recognisedCount)
        return meanings[Int(nameIndex) &* EventType.recognisedCount &+ type]
    }

    @inline(__always)
    func evidence(of nameIndex: UInt8) -> Evidence {
        precondition(Int(nameIndex) < count)
        return evidence[Int(nameIndex)]
    }

    /// - Parameter custom: Per type, names in any case and the fields that they mean there. Validated by the caller; names
    ///   beyond the table's room (about 140) would have been refused.
    init(custom: [(type: EventType, name: String, field: Field)]) {
        var order: [String] = []
        var positions: [String: Int] = [:]
        var meanings: [Meaning] = []
        var evidence: [Evidence] = []
        func position(_ name: String) -> Int {
            if let known = positions[name] { return known }
            positions[name] = order.count
            order.append(name)
            meanings.append(contentsOf: repeatElement(.none, count: EventType.recognisedCount))
            evidence.append([])
            return order.count - 1
        }
        for (types, field, preferred) in Self.vendorNames {
            for (rank, name) in preferred.enumerated() {
                let row = position(name)
                for type in types {
                    meanings[row * EventType.recognisedCount + type.index] = Meaning(
                        field: field.rawValue, rank: UInt8(rank + 1))
                }
            }
        }
        for (name, bits) in Self.vendorEvidence {
            let row = position(name)
            evidence[row].formUnion(bits)
        }
        for (type, name, field) in custom {
            let row = position(asciiLowercased(name))
            meanings[row * EventType.recognisedCount + type.index] = Meaning(field: field.rawValue, rank: 0)
            evidence[row].formUnion(Self.evidence(of: field, in: type))
        }
        names = NameTable(order, ignoringCase: true)
        count = order.count
        self.meanings = .allocate(capacity: meanings.count)
        self.evidence = .allocate(capacity: evidence.count)
        for (index, meaning) in meanings.enumerated() { (self.meanings + index).initialize(to: meaning) }
        for (index, bits) in evidence.enumerated() { (self.evidence + index).initialize(to: bits) }
    }

    deinit {
        meanings.deallocate()
        evidence.deallocate()
    }

    /// How many names a configuration may add.
    static var roomForCustomNames: Int {
        var names = Set(vendorEvidence.map(\.0))
        for (_, _, preferred) in vendorNames { names.formUnion(preferred) }
        return 250 - names.count
    }
}

/// In lower case as far as ASCII letters go; everything else stays.
func asciiLowercased(_ text: String) -> String {
    String(decoding: text.utf8.map(asciiLowercase), as: UTF8.self)
}
