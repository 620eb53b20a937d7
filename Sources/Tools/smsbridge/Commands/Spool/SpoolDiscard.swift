import SMSBridgeSettings
import SMSBridgeSpool
import SMSPortalEvents

/// `smsbridge spool discard`
enum SpoolDiscard {
    private static let execute = CommandOption<Bool>("--execute", help: "Do it; without this they are only counted.")

    static let command = Command(
        "discard", summary: "Delete the parked rows of a stopped bridge's spool",
        discussion: """
            Records that neither their topic nor the quarantine topic accepts: export them first. Rows that wait for Kafka
            are kept. Exit codes: 0; 1 failed, or a bridge holds the spool.
            """,
        options: [SpoolCommands.path, execute], settings: .init(needs: [], sections: ["spool"]),
        examples: [.init("after an export", "smsbridge spool discard --path /var/lib/smsbridge --execute")]
    ) {
        SpoolCommands.run($0, $1) { invocation, _, place throws(SpoolError) in try run(invocation, place) }
    }

    static func run(_ invocation: Invocation, _ place: SpoolPlace) throws(SpoolError) -> Int32 {
        guard !place.isHeld, !place.isLoneFile else {
            throw SpoolError(
                .locked,
                place.isHeld
                    ? "a bridge holds \(place.path): stop it first"
                    : "\(place.path) is a corrupt file that was moved aside: delete it")
        }
        guard invocation.isOn(execute) else {
            let file = try SpoolFile(place.file)
            defer { file.close() }
            Output.line("parked  \(try file.status().parkedRows) rows")
            Output.error("smsbridge spool discard: nothing was deleted: give --execute\n")
            return ExitCode.success
        }
        place.release()
        let count = try ParkedRows.discard(in: place.folder, lanes: EventTopic.allCases.map(\.suffix))
        Output.line("deleted  \(count) rows")
        return ExitCode.success
    }
}
