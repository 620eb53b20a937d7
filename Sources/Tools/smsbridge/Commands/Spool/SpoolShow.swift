import FoundationEssentials
import SMSBridgeSettings
import SMSBridgeSpool
import SMSPortalEvents

/// `smsbridge spool status` and `smsbridge spool list`
enum SpoolShow {
    private static let limit = CommandOption<Int>(
        "--limit", "N", .integer(1...Int.max), default: 100, help: "At most so many rows.")
    private static let showsKeys = CommandOption<Bool>("--show-keys", help: "Show keys: they are phone numbers.")

    static let statusCommand = Command(
        "status", summary: "Show the contents of a spool: rows, bytes and age by topic",
        discussion: """
            Reads the spool of a running bridge through the socket in its folder, that of a stopped one, or a quarantined
            file. Exit codes: 0; 1 it cannot be read; 3 a part of it is corrupt.
            """,
        options: [SpoolCommands.path, SpoolCommands.json], settings: .init(needs: [], sections: ["spool"]),
        examples: [.init("the spool of this machine", "smsbridge spool status --path /var/lib/smsbridge")]
    ) {
        SpoolCommands.run($0, $1) { invocation, _, place throws(SpoolError) in try status(invocation, place) }
    }

    static let listCommand = Command(
        "list", summary: "List the rows of a spool",
        discussion: """
            Topic, time of reception, event id, size in bytes, state. Never the content; keys only with --show-keys.
            Exit codes: 0; 1 it cannot be read; 3 a part of it is corrupt.
            """,
        options: [SpoolCommands.path, SpoolCommands.types, limit, showsKeys, SpoolCommands.json],
        settings: .init(needs: [], sections: ["spool", "topics"]),
        examples: [.init("the first ten replies", "smsbridge spool list --type reply --limit 10")]
    ) {
        SpoolCommands.run($0, $1) { invocation, settings, place throws(SpoolError) in
            try list(invocation, settings, place)
        }
    }

    static func status(_ invocation: Invocation, _ place: SpoolPlace) throws(SpoolError) -> Int32 {
        let source = try SpoolCommands.source(place)
        // For a file that was moved aside, the readable rows are of interest.
        let file = place.isLoneFile ? source as? SpoolFile : nil
        let status: SpoolStatus
        if let file { status = try file.countedStatus() } else { status = try source.status() }
        let now = Int64(Date().timeIntervalSince1970 * 1_000)
        func age(_ lane: SpoolStatus.Lane) -> Int64? { lane.oldest.map { max(0, now - $0) / 1_000 } }
        if invocation.isOn(SpoolCommands.json) {
            let lanes = status.lanes.map { lane in
                "{\"topic\":\(JSONText.string(lane.name)),\"rows\":\(lane.totals.rows),\"bytes\":\(lane.totals.bytes),"
                    + "\"oldestAgeSeconds\":\(age(lane).map { "\($0)" } ?? "null")}"
            }
            let parked = status.parked.sorted { $0.key < $1.key }.map {
                "{\"reason\":\(JSONText.string($0.key)),\"rows\":\($0.value)}"
            }
            Output.line(
                "{\"path\":\(JSONText.string(place.path)),\"format\":\(status.formatVersion),\"running\":\(place.isHeld),"
                    + "\"rows\":\(status.rows),\"topics\":[\(lanes.joined(separator: ","))],"
                    + "\"parked\":[\(parked.joined(separator: ","))],"
                    + "\"setAside\":[\(place.quarantined.map(JSONText.string).joined(separator: ","))]}")
            return SpoolCommands.finish(invocation, source)
        }
        Output.line("\(place.path)  format \(status.formatVersion)")
        if !place.isLoneFile { Output.line(place.isHeld ? "a bridge holds it, and drains it" : "no bridge holds it") }
        for lane in status.lanes {
            let oldest = age(lane).map { ", the oldest \($0) s old" } ?? ""
            Output.line("\(lane.name)  \(lane.totals.rows) rows, \(lane.totals.bytes) bytes\(oldest)")
        }
        for (reason, rows) in status.parked.sorted(by: { $0.key < $1.key }) {
            Output.line("parked  \(rows) rows: \(reason)")
        }
        for name in place.quarantined { Output.line("moved aside  \(place.folder)/\(name)") }
        return SpoolCommands.finish(invocation, source)
    }

    static func list(
        _ invocation: Invocation, _ settings: BridgeSettings, _ place: SpoolPlace
    ) throws(SpoolError) -> Int32 {
        let asked = invocation.values(of: SpoolCommands.types)
        if let wrong = SpoolCommands.wrongType(asked) {
            Output.error("smsbridge spool list: \(wrong)\n")
            return ExitCode.usage
        }
        let source = try SpoolCommands.source(place)
        let limit = invocation.value(of: limit) ?? 100
        let showsKeys = invocation.isOn(showsKeys)
        let isJSON = invocation.isOn(SpoolCommands.json)
        var shown = 0
        var hasMore = false
        try SpoolCommands.forEach(source, types: asked) { name, row throws(SpoolError) in
            guard shown < limit else {
                hasMore = true
                return false
            }
            shown += 1
            Output.line(line(row, "\(settings.topics.prefix).\(name)", showsKeys: showsKeys, isJSON: isJSON))
            return true
        }
        if hasMore { Output.error("smsbridge spool list: there are more rows, see --limit\n") }
        return SpoolCommands.finish(invocation, source)
    }

    private static func line(_ row: InspectedRow, _ topic: String, showsKeys: Bool, isJSON: Bool) -> String {
        var id: String?
        HeaderCoding.forEach(in: row.record.headers) { name, value in
            if name.elementsEqual("ce_id".utf8), let value { id = String(decoding: value, as: UTF8.self) }
        }
        let key = showsKeys ? row.record.key.map { String(decoding: $0, as: UTF8.self) } : nil
        if isJSON {
            return "{\"topic\":\(JSONText.string(topic)),\"timestamp\":\(row.record.timestamp),"
                + "\"id\":\(id.map(JSONText.string) ?? "null"),\"size\":\(row.record.value.count),"
                + (showsKeys ? "\"key\":\(key.map(JSONText.string) ?? "null")," : "")
                + "\"state\":\"\(row.state)\"}"
        }
        let time = EventTime(millisecondsSinceEpoch: row.record.timestamp).rfc3339
        let words = [topic, time, id ?? "-", "\(row.record.value.count)"] + (showsKeys ? [key ?? "-"] : [])
        // Bytes of a damaged file must not steer a terminal.
        return (words + [row.state]).joined(separator: " ").map { $0.isASCII && $0 >= " " ? "\($0)" : "?" }.joined()
    }
}

extension InspectedRow {
    var state: String { reason == nil ? "waiting" : "parked" }
}
