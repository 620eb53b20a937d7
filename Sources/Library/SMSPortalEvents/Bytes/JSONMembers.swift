/// A member of a JSON object: text unescaped, anything else as its source.
package struct JSONMember: Sendable, Hashable {
    package enum Kind: Sendable {
        case text
        /// A number or a boolean.
        case literal
        case null
        /// An object or an array.
        case nested
    }

    package let name: String
    package let value: [UInt8]
    package let kind: Kind

    /// The value, where it is text.
    package var text: String? { kind == .text ? String(decoding: value, as: UTF8.self) : nil }

    /// The members of an object, as strictly read as a callback: nil where it is none, or has more than 4,096.
    ///
    /// - Returns: in their order, repeats included; and the offset of the first byte that is wrong.
    package static func members(of source: [UInt8]) -> (members: [JSONMember]?, wrongAt: Int) {
        guard String(validating: source, as: UTF8.self) != nil else { return (nil, 0) }
        return source.withUnsafeBytes { bytes in
            var scanner = JSONScanner(Bytes(bytes))
            var list = ParameterList()
            var scratch = ByteWriter(capacity: max(16, bytes.count))
            do throws(ScanFailure) {
                try scanner.readObject(into: &list, scratch: &scratch)
            } catch {
                return (nil, error.offset)
            }
            let members = (0..<list.count).map { index in
                let parameter = list[index]
                let kind: Kind =
                    switch parameter.kind {
                    case .text: .text
                    case .literal: .literal
                    case .null: .null
                    case .nested: .nested
                    }
                return JSONMember(
                    name: parameter.name.string, value: parameter.value.array, kind: kind)
            }
            return (members, source.count)
        }
    }
}
