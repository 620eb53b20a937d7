/// A charset that a body may be in, besides UTF-8.
///
/// The set is closed: a name from a request is never handed to iconv, which loads code by such names.
struct Charset: Equatable {
    /// How bytes relate to characters.
    enum Form {
        /// Bytes below 0x80 are ASCII wherever a character begins.
        case asciiBased
        /// Units of two or four bytes, whose order a mark at the beginning or the name tells.
        case utf16, utf32
    }

    /// As iconv knows it; without its byte order, where the text may tell.
    let name: StaticString
    let form: Form
    /// Whether the name fixes the byte order of units.
    let hasByteOrder: Bool

    static func == (left: Charset, right: Charset) -> Bool { Bytes(left.name).equals(Bytes(right.name)) }

    private static func plain(_ name: StaticString) -> Charset {
        Charset(name: name, form: .asciiBased, hasByteOrder: true)
    }

    /// Names in lower case with `_` as `-`, and their charsets (IANA character sets; `cp…` as Windows calls its own).
    private static let known: [(name: StaticString, charset: Charset)] = [
        ("iso-8859-1", plain("ISO-8859-1")), ("iso8859-1", plain("ISO-8859-1")), ("latin1", plain("ISO-8859-1")),
        ("latin-1", plain("ISO-8859-1")), ("iso-8859-2", plain("ISO-8859-2")), ("iso-8859-3", plain("ISO-8859-3")),
        ("iso-8859-4", plain("ISO-8859-4")), ("iso-8859-5", plain("ISO-8859-5")), ("iso-8859-6", plain("ISO-8859-6")),
        ("iso-8859-7", plain("ISO-8859-7")), ("iso-8859-8", plain("ISO-8859-8")), ("iso-8859-9", plain("ISO-8859-9")),
        ("iso-8859-10", plain("ISO-8859-10")), ("iso-8859-11", plain("ISO-8859-11")),
        ("iso-8859-13", plain("ISO-8859-13")), ("iso-8859-14", plain("ISO-8859-14")),
        ("iso-8859-15", plain("ISO-8859-15")), ("latin-9", plain("ISO-8859-15")), ("iso-8859-16", plain("ISO-8859-16")),
        ("windows-1250", plain("CP1250")), ("cp1250", plain("CP1250")), ("windows-1251", plain("CP1251")),
        ("cp1251", plain("CP1251")), ("windows-1252", plain("CP1252")), ("cp1252", plain("CP1252")),
        ("windows-1253", plain("CP1253")), ("cp1253", plain("CP1253")), ("windows-1254", plain("CP1254")),
        ("cp1254", plain("CP1254")), ("windows-1255", plain("CP1255")), ("cp1255", plain("CP1255")),
        ("windows-1256", plain("CP1256")), ("cp1256", plain("CP1256")), ("windows-1257", plain("CP1257")),
        ("cp1257", plain("CP1257")), ("windows-1258", plain("CP1258")), ("cp1258", plain("CP1258")),
        ("koi8-r", plain("KOI8-R")), ("koi8-u", plain("KOI8-U")), ("tis-620", plain("TIS-620")),
        ("gbk", plain("GBK")), ("gb2312", plain("GBK")), ("gb18030", plain("GB18030")), ("big5", plain("BIG5")),
        ("shift-jis", plain("SHIFT_JIS")), ("euc-jp", plain("EUC-JP")), ("euc-kr", plain("EUC-KR")),
        ("utf-16", Charset(name: "UTF-16BE", form: .utf16, hasByteOrder: false)),
        ("utf-16be", Charset(name: "UTF-16BE", form: .utf16, hasByteOrder: true)),
        ("utf-16le", Charset(name: "UTF-16LE", form: .utf16, hasByteOrder: true)),
        ("utf-32", Charset(name: "UTF-32BE", form: .utf32, hasByteOrder: false)),
        ("utf-32be", Charset(name: "UTF-32BE", form: .utf32, hasByteOrder: true)),
        ("utf-32le", Charset(name: "UTF-32LE", form: .utf32, hasByteOrder: true)),
    ]

    /// The names that ``named(_:)`` knows, in their order.
    static var names: [String] { known.map { "\($0.name)" } }

    /// The charset of a name, in any letter case.
    static func named(_ name: Bytes) -> Charset? {
        guard !name.isEmpty, name.count <= 32 else { return nil }
        var folded = ByteWriter(capacity: 64)
        for index in 0..<name.count {
            let byte = asciiLowercase(name[index])
            folded.append(byte == 0x5F ? 0x2D : byte)
        }
        return known.first { folded.bytes.equals($0.name) }?.charset
    }

    /// The charset that a content type declares.
    enum Declaration {
        /// None, or UTF-8 or its subset ASCII.
        case none
        case known(Charset)
        case unknown(Bytes)
    }

    /// Reads the first `charset` parameter of a media type (RFC 9110, section 8.3).
    static func declared(by contentType: Bytes) -> Declaration {
        guard let name = parameter(of: contentType), !name.isEmpty else { return .none }
        for text in ["utf-8", "utf8", "us-ascii", "ascii"] as [StaticString] where name.equalsIgnoringCase(text) {
            return .none
        }
        return named(name).map(Declaration.known) ?? .unknown(name)
    }

    private static func parameter(of contentType: Bytes) -> Bytes? {
        var at = 0
        while at < contentType.count {
            while at < contentType.count, contentType[at] != 0x3B { at += 1 }
            at += 1
            let start = min(at, contentType.count)
            var end = start
            while end < contentType.count, contentType[end] != 0x3B { end += 1 }
            let parameter = contentType[start..<end].trimmed
            let name = Bytes("charset=")
            guard parameter.count > name.count, parameter[0..<name.count].equalsIgnoringCase(name) else { continue }
            var value = parameter[name.count..<parameter.count].trimmed
            if value.count >= 2, value[0] == 0x22, value[value.count - 1] == 0x22 { value = value[1..<value.count - 1] }
            return value
        }
        return nil
    }
}
