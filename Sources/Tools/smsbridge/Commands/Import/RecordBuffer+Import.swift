import SMSPortalEvents

extension RecordBuffer {
    private func header(_ name: StaticString) -> String? {
        var text: String?
        forEachHeader { header, value in
            let isIt = header.withUTF8Buffer { header in name.withUTF8Buffer { header.elementsEqual($0) } }
            if isIt { text = String(decoding: value, as: UTF8.self) }
        }
        return text
    }

    /// When the event occurred, in milliseconds since 1970; nil where it does not say, or where that is when it was received.
    var occurredAt: Int64? {
        guard let time = header("ce_time").flatMap(EventTime.init(rfc3339:))?.millisecondsSinceEpoch else { return nil }
        return time == timestamp ? nil : time
    }

    /// What the id was made from.
    var idBasis: EventIDBasis { header("ce_idbasis").flatMap(EventIDBasis.init) ?? .reception }

    /// Why the callback was not understood; nil where it was.
    var reason: String? {
        guard topic == .quarantine, let members = JSONMember.members(of: withValue(Array.init)).members else {
            return nil
        }
        func text(_ name: String) -> String? { members.last { $0.name == name }?.text }
        // The detail names fields and positions, never content.
        return [text("reason"), text("detail")].compactMap(\.self).joined(separator: ": ")
    }
}
