/// The number of a subscriber as a record's key: digits, so that one subscriber's events keep their order.
enum MSISDN {
    /// E.164 allows 15 digits; fewer than 5 are no subscriber's number.
    static let digits = 5...15

    /// The vendor's sample number. A callback about it is a test, sent when a webhook is saved.
    static let sample: StaticString = "27000000001"

    /// Reads a number: spaces, `-`, `.`, `(` and `)` do not count, nor does a leading `+` or `00`.
    ///
    /// - Parameter room: Where the digits go when they are not a part of `text` already; 16 bytes.
    /// - Returns: 5 to 15 digits; nil where the text is something else.
    @inline(__always)
    static func normalised(_ text: Bytes, room: UnsafeMutablePointer<UInt8>) -> Bytes? {
        if text.isDigits, !text[0..<min(text.count, 2)].equals("00") {
            return digits.contains(text.count) ? text : nil
        }
        return stripped(text, room: room)
    }

    private static func stripped(_ text: Bytes, room: UnsafeMutablePointer<UInt8>) -> Bytes? {
        var count = 0
        var at = 0
        let text = text.trimmed
        if at < text.count, text[at] == 0x2B {
            at += 1
        } else if text.count >= 2, text[0..<2].equals("00") {
            at += 2
        }
        while at < text.count {
            let byte = text[at]
            at += 1
            switch byte {
            case 0x20, 0x2D, 0x2E, 0x28, 0x29: continue
            case 0x30...0x39:
                guard count < digits.upperBound else { return nil }
                room[count] = byte
                count += 1
            default: return nil
            }
        }
        return count >= digits.lowerBound ? Bytes(base: UnsafePointer(room), count: count) : nil
    }
}
