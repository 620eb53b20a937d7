internal import CSMSBridgeOpenSSL

extension SpoolRecord {
    /// What a row is known by again: the first eight bytes of SHA-256 over its place and all that it holds.
    ///
    /// It is stored beside the row, for SQLite has no checksums: a page that a disk gives back with other bytes looks
    /// sound to it as long as its structure is, and so would an event that was never sent.
    ///
    /// - Parameters:
    ///   - lane: the number that the file gives the lane: rows under another lane's table are not that lane's.
    ///   - reason: why it is parked; nil in a lane.
    func digest(number: Int64, lane: Int64, reason: String? = nil) -> Int64 {
        var context = SHA256_CTX()
        smsbridge_sha256_init(&context)
        // Sizes first, so that no byte can change sides.
        var head = (
            number.littleEndian, lane.littleEndian, timestamp.littleEndian, Int64(key?.count ?? -1).littleEndian,
            Int64(headers.count).littleEndian, Int64(reason?.utf8.count ?? -1).littleEndian
        )
        withUnsafeBytes(of: &head) { add($0, to: &context) }
        if let key { add(key, to: &context) }
        add(headers, to: &context)
        add(value, to: &context)
        if var reason { reason.withUTF8 { add(UnsafeRawBufferPointer($0), to: &context) } }
        var digest: (Int64, Int64, Int64, Int64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &digest) { bytes in
            _ = smsbridge_sha256_final(&context, bytes.bindMemory(to: UInt8.self).baseAddress)
        }
        return Int64(littleEndian: digest.0)
    }

    private func add(_ bytes: UnsafeRawBufferPointer, to context: inout SHA256_CTX) {
        if let base = bytes.baseAddress { smsbridge_sha256_update(&context, base, bytes.count) }
    }
}
