/// A time of reception as the vendor writes times.
package enum ReceivedTime {
    /// - Parameter text: UNIX seconds or milliseconds, or `dd/MMM/yyyy HH:mm:ss` in South African time.
    /// - Returns: milliseconds since 1970; nil for anything else.
    package static func milliseconds(_ text: String) -> Int64? {
        var text = text
        return text.withUTF8 { VendorTime.milliseconds(Bytes(UnsafeRawBufferPointer($0))) }
    }
}

/// Base64 (RFC 4648, section 4), as the raw callback of an event has it.
package enum Base64Text {
    /// - Returns: nil for anything else.
    package static func decode(_ text: String) -> [UInt8]? {
        var text = text
        return text.withUTF8 { ByteWriter.base64Decoded(Bytes(UnsafeRawBufferPointer($0))) }
    }
}
