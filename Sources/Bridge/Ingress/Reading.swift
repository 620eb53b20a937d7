internal import SMSBridgeHTTPServer

extension RawSpan {
    func byte(_ index: Int) -> UInt8 { unsafeLoad(fromByteOffset: index, as: UInt8.self) }

    /// Whether `text` stands at `index`; there must be as many bytes.
    func holds(_ text: [UInt8], at index: Int) -> Bool {
        for position in text.indices where byte(index + position) != text[position] { return false }
        return true
    }

    /// Whether a piece is `text`, but for the case of its letters.
    func matches(_ cut: Cut, lowercase text: [UInt8]) -> Bool {
        guard cut.count == text.count else { return false }
        for index in 0..<cut.count {
            let byte = byte(cut.offset + index)
            let folded = byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
            if folded != text[index] { return false }
        }
        return true
    }
}
