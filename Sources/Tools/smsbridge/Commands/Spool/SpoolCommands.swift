import SMSBridgeSettings
import SMSBridgeSpool
import SMSPortalEvents

/// `smsbridge spool`: what is common to its subcommands.
enum SpoolCommands {
    static let command = Command(
        "spool", summary: "Inspect, export, import and drain a spool",
        subcommands: [
            SpoolShow.statusCommand, SpoolShow.listCommand, SpoolExport.command, SpoolImportCommand.command,
            SpoolDrain.command, SpoolDiscard.command,
        ])

    static let path = CommandOption<String>(
        "--path", "PATH", .anyText("path"),
        help: "Spool folder, or a quarantined file. Default: the setting spool.path.")
    static let json = CommandOption<Bool>("--json", help: "Write JSON to standard output.")
    static let types = CommandOption<String>(
        "--type", "TYPE", .oneOf(EventTopic.allCases.map(\.suffix), name: "type"), repeats: true,
        help:
            "Only this topic: \(EventTopic.allCases.map(\.suffix).alternatives). May be repeated."
    )

    /// Runs a command on the spool that --path names, and reports why it failed.
    ///
    /// - Returns: The exit code.
    static func run(
        _ invocation: Invocation, _ loaded: LoadedSettings,
        _ body: (Invocation, BridgeSettings, SpoolPlace) throws(SpoolError) -> Int32
    ) -> Int32 {
        let name = "smsbridge \(invocation.command)"
        do throws(SpoolError) {
            let place = try SpoolPlace(invocation.value(of: path) ?? loaded.settings.spool.path)
            return try body(invocation, loaded.settings, place)
        } catch {
            Output.error("\(name): \(error.message)\n")
            if error.code == .corrupt {
                Output.error("\(name): nothing of it can be read; 'sqlite3 FILE .recover' may find more\n")
                return ExitCode.damaged
            }
            return ExitCode.failure
        }
    }

    /// The running bridge that holds the place, or its file.
    static func source(_ place: SpoolPlace) throws(SpoolError) -> any SpoolSource {
        place.isHeld ? RunningSpool(folder: place.folder) : try SpoolFile(place.file)
    }

    /// Says what could not be read.
    ///
    /// - Returns: the exit code.
    static func finish(_ invocation: Invocation, _ source: any SpoolSource) -> Int32 {
        guard let file = source as? SpoolFile, !file.corruption.isEmpty else { return ExitCode.success }
        for part in file.corruption { Output.error("smsbridge \(invocation.command): cannot be read: \(part)\n") }
        return ExitCode.damaged
    }

    /// The lanes and the parked rows, and what is in each.
    static func lanes(_ source: any SpoolSource) throws(SpoolError) -> [(id: Int64, name: String)] {
        if let file = source as? SpoolFile { return file.lanes }
        return try source.status().lanes.map { ($0.id, $0.name) }
    }

    /// Visits rows in order: lane by lane, then those that are parked, until `body` says that it has enough.
    static func forEach(
        _ source: any SpoolSource, types: [String] = [],
        _ body: (_ topic: String, InspectedRow) throws(SpoolError) -> Bool
    ) throws(SpoolError) {
        let lanes = try lanes(source)
        let tables =
            lanes.filter { types.isEmpty || types.contains($0.name) }.map { SpoolTable.lane($0.id) } + [.parked]
        for table in tables {
            var last = Int64.min
            while true {
                let rows = try source.rows(of: table, after: last, count: 500)
                guard let end = rows.last else { break }
                last = end.number
                for row in rows {
                    let name = lanes.first { $0.id == row.lane }?.name ?? "lane_\(row.lane)"
                    guard types.isEmpty || types.contains(name) else { continue }
                    guard try body(name, row) else { return }
                }
            }
        }
    }

    /// - Returns: Nil when every type exists, else the problem.
    static func wrongType(_ asked: [String]) -> String? {
        let names = EventTopic.allCases.map(\.suffix)
        guard let wrong = asked.first(where: { !names.contains($0) }) else { return nil }
        let near = nearestName(to: wrong, among: names).map { ": did you mean \($0)?" }
        return "--type: there is no type '\(wrong)'\(near ?? "; there are: \(names.joined(separator: ", "))")"
    }
}
