internal import CSMSBridgeZlib

/// Undoes the content codings `gzip` (RFC 1952) and `deflate` (RFC 1950; some senders mean RFC 1951), up to a bound.
struct Inflater: ~Copyable {
    enum Coding {
        case gzip, deflate

        /// - Parameter name: As of a `Content-Encoding` header with one coding, in any letter case.
        init?(_ name: Bytes) {
            if name.equalsIgnoringCase("gzip") || name.equalsIgnoringCase("x-gzip") {
                self = .gzip
            } else if name.equalsIgnoringCase("deflate") {
                self = .deflate
            } else {
                return nil
            }
        }

        var name: StaticString {
            switch self {
            case .gzip: "gzip"
            case .deflate: "deflate"
            }
        }
    }

    enum Failure: Error {
        /// The byte at this offset does not belong to the coding, or the data end too early.
        case invalid(at: Int)
        /// There is more than the bound allows.
        case tooLong
    }

    /// Appends the decoded data to a writer.
    ///
    /// - Parameter limit: The most bytes that are appended.
    static func append(
        _ data: Bytes, _ coding: Coding, atMost limit: Int, to writer: inout ByteWriter
    ) throws(Failure) {
        switch coding {
        case .gzip:
            // A gzip file is a series of members.
            var at = 0
            let start = writer.count
            repeat {
                at += try inflate(
                    data[at..<data.count], bits: 31, start: at, limit: limit - (writer.count - start), &writer)
            } while at < data.count
        case .deflate:
            let start = writer.count
            do throws(Failure) {
                try whole(data, bits: 15, limit: limit, &writer)
            } catch {
                guard case .invalid = error else { throw error }
                writer.truncate(to: start)
                try whole(data, bits: -15, limit: limit, &writer)
            }
        }
    }

    private static func whole(
        _ data: Bytes, bits: Int32, limit: Int, _ writer: inout ByteWriter
    ) throws(Failure) {
        let end = try inflate(data, bits: bits, start: 0, limit: limit, &writer)
        guard end == data.count else { throw .invalid(at: end) }
    }

    /// - Returns: how many bytes of the data were used.
    private static func inflate(
        _ data: Bytes, bits: Int32, start: Int, limit: Int, _ writer: inout ByteWriter
    ) throws(Failure) -> Int {
        var stream = z_stream()
        guard smsbridge_inflate_init(&stream, bits) == Z_OK else { throw .invalid(at: start) }
        defer { inflateEnd(&stream) }
        stream.next_in = UnsafeMutablePointer(mutating: data.base)
        stream.avail_in = UInt32(clamping: data.count)
        var made = 0
        while true {
            // One more than is allowed shows that there is more.
            let room = min(max(4 * data.count, 4_096), limit - made + 1)
            var code = Z_OK
            var written = 0
            writer.append(atMost: room) { target in
                stream.next_out = target
                stream.avail_out = UInt32(clamping: room)
                code = CSMSBridgeZlib.inflate(&stream, Z_NO_FLUSH)
                written = room - Int(stream.avail_out)
                return written
            }
            made += written
            guard made <= limit else { throw .tooLong }
            let offset = data.count - Int(stream.avail_in)
            if code == Z_STREAM_END { return offset }
            // Without progress (Z_BUF_ERROR) the data have ended in the middle.
            guard code == Z_OK else { throw .invalid(at: start + offset) }
        }
    }
}
