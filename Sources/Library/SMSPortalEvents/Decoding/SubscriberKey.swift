/// The key of the records about a subscriber, from a number as people write it.
package enum SubscriberKey {
    /// - Parameter text: an international number in digits, with or without `+` or `00`, in groups or not.
    /// - Returns: the key as the decoder writes it; nil where the text is no number, or has no country code.
    package static func bytes(of text: String) -> [UInt8]? {
        var text = text
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: MSISDN.room) { room in
            guard let base = room.baseAddress else { return nil }
            return text.withUTF8 { bytes in
                guard let number = MSISDN.normalised(Bytes(UnsafeRawBufferPointer(bytes)), room: base),
                    // No country code begins with zero: this is a number in national form.
                    number[0] != 0x30
                else { return nil }
                return number.array
            }
        }
    }
}
