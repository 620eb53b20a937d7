/// The number of a subscriber as a record's key: digits, so that one subscriber's events keep their order.
enum MSISDN {
    /// E.164 allows 15 digits; fewer than 5 are no subscriber's number.
    static let digits = 5...15

    /// The vendor's sample number. A callback about it is a test, sent when a webhook is saved.
    static let sample: StaticString = "27000000001"

    /// How many bytes the room for digits must have.
    static let room = 32

    /// Reads a number: spaces, `-`, `.`, `(` and `)` do not count, nor does a leading `+` or `00`. What it returns reads as
    /// itself again.
    ///
    /// - Parameter room: Where the digits go when they are not a part of `text` already; ``room`` bytes.
    /// - Returns: 5 to 15 digits, not beginning with `00`; nil where the text is something else.
    @inline(__always)
    static func normalised(_ text: Bytes, room: UnsafeMutablePointer<UInt8>) -> Bytes? {
        if text.isDigits, !hasDoubleZero(text) { return digits.contains(text.count) ? text : nil }
        return stripped(text, room: room)
    }

    private static func stripped(_ text: Bytes, room: UnsafeMutablePointer<UInt8>) -> Bytes? {
        let text = text.trimmed
        let hasPlus = !text.isEmpty && text[0] == 0x2B
        var count = 0
        for index in (hasPlus ? 1 : 0)..<text.count {
            switch text[index] {
            case 0x20, 0x2D, 0x2E, 0x28, 0x29: continue
            case 0x30...0x39:
                guard count < digits.upperBound + 2 else { return nil }
                room[count] = text[index]
                count += 1
            default: return nil
            }
        }
        var number = Bytes(base: UnsafePointer(room), count: count)
        if !hasPlus, hasDoubleZero(number) { number = number[2..<count] }
        // No country's code begins with zero.
        return digits.contains(number.count) && !hasDoubleZero(number) ? number : nil
    }

    @inline(__always)
    private static func hasDoubleZero(_ text: Bytes) -> Bool { text.count >= 2 && text[0] == 0x30 && text[1] == 0x30 }
}
