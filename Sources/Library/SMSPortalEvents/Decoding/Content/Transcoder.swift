internal import CSMSBridgeIconv

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Converts text to UTF-8, strictly: what is no text in its charset is not converted.
///
/// It keeps the last converter that it has opened, and belongs to one thread.
struct Transcoder: ~Copyable {
    /// Why there is no text.
    enum Failure: Error {
        /// This system's iconv does not know the charset.
        case unsupported
        /// The byte at this offset, or what begins there, is no character.
        case invalid(at: Int)
    }

    private var converter: (charset: Charset, handle: iconv_t)?

    deinit {
        if let converter { iconv_close(converter.handle) }
    }

    /// Appends the text to a writer, without a byte order mark.
    mutating func append(
        _ text: Bytes, in charset: Charset, to writer: inout ByteWriter
    ) throws(Failure) {
        let (charset, mark) = Self.ordered(charset, text)
        let handle = try open(charset)
        // Its state is the one that it begins with.
        iconv(handle, nil, nil, nil, nil)
        let source = text[mark..<text.count]
        let start = writer.count
        var input: UnsafeMutablePointer<CChar>? = UnsafeMutableRawPointer(mutating: UnsafeRawPointer(source.base))
            .assumingMemoryBound(to: CChar.self)
        var left = source.count
        while left > 0 {
            // No charset of ours has a character that takes more than three times its bytes in UTF-8.
            let room = left * 3 + 16
            var code: Int32 = 0
            writer.append(atMost: room) { target in
                var output: UnsafeMutablePointer<CChar>? = UnsafeMutableRawPointer(target)
                    .assumingMemoryBound(to: CChar.self)
                var outputLeft = room
                if iconv(handle, &input, &left, &output, &outputLeft) == -1 { code = errno }
                return room - outputLeft
            }
            guard code == 0 || (code == E2BIG && writer.count - start <= 8 * source.count) else {
                throw .invalid(at: mark + source.count - left)
            }
        }
        // The last character of some charsets waits for a combining one.
        writer.append(atMost: 16) { target in
            var output: UnsafeMutablePointer<CChar>? = UnsafeMutableRawPointer(target)
                .assumingMemoryBound(to: CChar.self)
            var outputLeft = 16
            return iconv(handle, nil, nil, &output, &outputLeft) == -1 ? 0 : 16 - outputLeft
        }
        guard writer.bytes[start..<writer.count].isUTF8 else { throw .invalid(at: mark) }
    }

    private mutating func open(_ charset: Charset) throws(Failure) -> iconv_t {
        if let converter, converter.charset == charset { return converter.handle }
        let name = UnsafeRawPointer(charset.name.utf8Start).assumingMemoryBound(to: CChar.self)
        let handle = iconv_open("UTF-8", name)
        guard let handle, smsbridge_iconv_is_open(handle) != 0 else { throw .unsupported }
        if let converter { iconv_close(converter.handle) }
        converter = (charset, handle)
        return handle
    }

    /// The charset with the byte order of this text, and how long its byte order mark is. Without a mark the zeros of the first
    /// character tell, which in JSON and in forms is ASCII (RFC 4627, section 3); else the order is big-endian (RFC 2781, 4.3).
    private static func ordered(_ charset: Charset, _ text: Bytes) -> (Charset, mark: Int) {
        func begins(_ bytes: UInt8...) -> Bool {
            text.count >= bytes.count && bytes.indices.allSatisfy { text[$0] == bytes[$0] }
        }
        switch charset.form {
        case .asciiBased: return (charset, 0)
        case .utf16:
            let little = Charset(name: "UTF-16LE", form: .utf16, hasByteOrder: true)
            let big = Charset(name: "UTF-16BE", form: .utf16, hasByteOrder: true)
            if charset.hasByteOrder {
                let isMarked = charset == little ? begins(0xFF, 0xFE) : begins(0xFE, 0xFF)
                return (charset, isMarked ? 2 : 0)
            }
            if begins(0xFF, 0xFE) { return (little, 2) }
            if begins(0xFE, 0xFF) { return (big, 2) }
            return (text.count >= 2 && text[0] != 0 && text[1] == 0 ? little : big, 0)
        case .utf32:
            let little = Charset(name: "UTF-32LE", form: .utf32, hasByteOrder: true)
            let big = Charset(name: "UTF-32BE", form: .utf32, hasByteOrder: true)
            if charset.hasByteOrder {
                let isMarked = charset == little ? begins(0xFF, 0xFE, 0, 0) : begins(0, 0, 0xFE, 0xFF)
                return (charset, isMarked ? 4 : 0)
            }
            if begins(0xFF, 0xFE, 0, 0) { return (little, 4) }
            if begins(0, 0, 0xFE, 0xFF) { return (big, 4) }
            return (text.count >= 4 && text[0] != 0 && text[1] == 0 ? little : big, 0)
        }
    }
}
