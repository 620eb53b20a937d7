internal import HTTPServer

extension RequestHead {
    /// The value of the one header of that name; nil when it is missing, or there twice: two values are nobody's proof.
    ///
    /// - Parameter name: in lower case; letters of the request match in either.
    borrowing func onlyHeader(_ name: [UInt8], in bytes: RawSpan) -> Cut? {
        var found: Cut?
        var isRepeated = false
        forEachHeader { header, value in
            guard header.count == name.count else { return }
            for index in 0..<header.count {
                let byte = bytes.byte(header.offset + index)
                let folded = byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
                if folded != name[index] { return }
            }
            isRepeated = found != nil
            found = value
        }
        return isRepeated ? nil : found
    }
}
