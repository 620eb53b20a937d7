import SMSPortalEvents

/// Runs today's decoder over what came in raw, and keeps id and time of what it makes.
final class Redecoder {
    private let decoder: CallbackDecoder
    private let reader = EventReader()
    /// By type as it was, and field: how many records have another value there now. `type` where the type changed.
    private(set) var differences: [String: Int] = [:]
    private(set) var changed = 0
    private(set) var undecodable = 0

    init(_ configuration: DecoderConfiguration) throws(DecoderConfigurationError) {
        decoder = try CallbackDecoder(configuration)
    }

    /// - Returns: the record as it would be written today, with its first id; itself when nothing would change, or when it is
    ///   no event.
    func redecode(_ record: ArchiveRecord) -> ArchiveRecord {
        let headers = record.headers.map { EventRecord.Header(name: $0.name, value: $0.value) }
        let event: Event
        do {
            event = try (record.value ?? []).withUnsafeBytes { value in
                Result { () throws(EventDecodingError) in try reader.event(value: value, headers: headers) }
            }.get()
        } catch {
            undecodable += 1
            return record
        }
        var again = event.redecoded(by: decoder)
        again.envelope.id = event.id
        again.envelope.idBasis = event.idBasis
        let new = again.record()
        let now = new.value
        guard now != record.value else { return record }
        changed += 1
        note(event.type, record.value ?? [], now)
        var result = record
        result.value = now
        result.key = new.key
        // What others have added stays.
        let own = Set(new.headers.map(\.name))
        result.headers =
            new.headers.map { .init(name: $0.name, value: $0.value) } + record.headers.filter { !own.contains($0.name) }
        return result
    }

    private func note(_ type: EventType, _ before: [UInt8], _ now: [UInt8]) {
        let old = JSONMember.members(of: before).members ?? []
        let new = JSONMember.members(of: now).members ?? []
        for name in Set((old + new).map(\.name)) {
            let values = [old, new].map { members in members.first { $0.name == name } }
            guard values[0] != values[1] else { continue }
            differences["\(type.rawValue).\(name)", default: 0] += 1
        }
    }
}
