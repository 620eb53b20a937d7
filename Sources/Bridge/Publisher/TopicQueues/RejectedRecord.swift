package import SMSBridgeSpool
internal import SMSPortalEvents

extension SpoolRecord {
    /// The same record for the quarantine, with what Kafka did not take it for: the headers `smsbridge-refused`, the error's
    /// name, and `smsbridge-topic`, the topic that it was meant for. Its value is what it would have been there.
    func rejected(by topic: String, because error: String, inLane lane: Int) -> SpoolRecord {
        var bytes = Array(headers)
        Array(error.utf8).withUnsafeBytes { HeaderCoding.append("smsbridge-refused", $0, to: &bytes) }
        Array(topic.utf8).withUnsafeBytes { HeaderCoding.append("smsbridge-topic", $0, to: &bytes) }
        return bytes.withUnsafeBytes {
            SpoolRecord(lane: lane, timestamp: timestamp, key: key, value: value, headers: $0)
        }
    }

    /// The record as it was before `rejected(by:because:inLane:)`, for the topic that it was meant for.
    ///
    /// - Parameter topics: the topics' names, in the order of the lanes.
    /// - Returns: nil for a record that was not refused, or not in one of these topics.
    package func beforeRejection(topics: [String]) -> SpoolRecord? {
        var bytes: [UInt8] = []
        var meant: Int?
        HeaderCoding.forEach(in: headers) { name, value in
            switch String(decoding: name, as: UTF8.self) {
            case "smsbridge-refused": break
            case "smsbridge-topic":
                meant = value.flatMap { topics.firstIndex(of: String(decoding: $0, as: UTF8.self)) }
            default: HeaderCoding.append(name: name, value, to: &bytes)
            }
        }
        guard let meant else { return nil }
        return bytes.withUnsafeBytes {
            SpoolRecord(lane: meant, timestamp: timestamp, key: key, value: value, headers: $0)
        }
    }
}
