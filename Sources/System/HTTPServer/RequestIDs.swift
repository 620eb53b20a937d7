/// The `X-Request-Id` of a server's answers: a word that is random for each server, and the exchange's number.
struct RequestIDs {
    /// `X-Request-Id: <word>-`
    private let line: [UInt8]
    private let word: String

    init() {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567")
        word = String((0..<8).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] })
        line = Array("X-Request-Id: \(word)-".utf8)
    }

    func text(of exchange: Exchange) -> String { word + "-" + String(exchange.rawValue, radix: 16) }

    /// The most bytes that the header line has.
    static let longest = 64

    /// Appends the header line; `buffer` has room for it.
    func append(_ exchange: Exchange, to buffer: AnswerBuffer) {
        buffer.append(line)
        let number = exchange.rawValue
        var shift = (63 - number.leadingZeroBitCount) & ~3
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(truncatingIfNeeded: shift)) & 0xF
            buffer.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit)
            shift -= 4
        }
        buffer.append("\r\n" as StaticString)
    }
}
