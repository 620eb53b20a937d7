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

    /// Appends the header line.
    func append(_ exchange: Exchange, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: line)
        let number = exchange.rawValue
        var shift = (63 - number.leadingZeroBitCount) & ~3
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift)) & 0xF
            bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit)
            shift -= 4
        }
        bytes.append(UInt8(ascii: "\r"))
        bytes.append(UInt8(ascii: "\n"))
    }
}
