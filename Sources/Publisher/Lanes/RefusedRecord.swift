internal import Spool

extension SpoolRecord {
    /// The same record for the quarantine, with what Kafka did not take it for: the headers `smsbridge-refused`, the error's
    /// name, and `smsbridge-topic`, the topic that it was meant for. Its value is what it would have been there.
    func refused(by topic: String, because error: String, inLane lane: Int) -> SpoolRecord {
        var bytes = Array(headers)
        Array(error.utf8).withUnsafeBytes { HeaderCoding.append("smsbridge-refused", $0, to: &bytes) }
        Array(topic.utf8).withUnsafeBytes { HeaderCoding.append("smsbridge-topic", $0, to: &bytes) }
        return bytes.withUnsafeBytes {
            SpoolRecord(lane: lane, timestamp: timestamp, key: key, value: value, headers: $0)
        }
    }
}
