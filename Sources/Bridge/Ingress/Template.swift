/// A text with placeholders: `v1:{timestamp}|{body}`. An unknown name in braces is literal; the settings
/// refuse it before.
struct Template<Place: RawRepresentable & Sendable>: Sendable where Place.RawValue == String {
    enum Piece: Sendable {
        case text([UInt8])
        case place(Place)
    }

    let pieces: [Piece]

    init(_ text: String) {
        var pieces: [Piece] = []
        var literal: [UInt8] = []
        var rest = text.utf8[...]
        while let first = rest.first {
            if first == UInt8(ascii: "{"), let close = rest.firstIndex(of: UInt8(ascii: "}")),
                let place = Place(rawValue: String(Substring(rest[rest.index(after: rest.startIndex)..<close])))
            {
                if !literal.isEmpty { pieces.append(.text(literal)) }
                literal = []
                pieces.append(.place(place))
                rest = rest[rest.index(after: close)...]
            } else {
                literal.append(first)
                rest = rest.dropFirst()
            }
        }
        if !literal.isEmpty { pieces.append(.text(literal)) }
        self.pieces = pieces
    }
}
