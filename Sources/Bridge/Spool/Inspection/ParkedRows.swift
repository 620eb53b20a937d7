/// What becomes of the rows that no topic took, once a person has decided. For a spool that no bridge holds.
package enum ParkedRows {
    /// Puts them back into their topics' queues, behind the waiting rows, to be published with them.
    ///
    /// - Parameters:
    ///   - folder: of the spool.
    ///   - lanes: the lanes' names.
    ///   - lane: the record as it is to be sent, in the lane where it belongs; nil leaves it parked.
    /// - Returns: how many there were.
    package static func putBack(
        in folder: String, lanes: [String], as lane: (SpoolRecord) -> SpoolRecord?
    ) throws(SpoolError) -> Int64 {
        let directory = try SpoolDirectory(folder, allowsAnyFileSystem: true)
        // Its lock keeps bridges out until this is over.
        defer { withExtendedLifetime(directory) {} }
        let store = try open(directory, lanes)
        defer { store.close() }
        let reader = store.inspection
        let names = try reader.lanes()
        var last = Int64.min
        var count: Int64 = 0
        while true {
            let rows = try reader.rows(
                of: .parked, after: last, count: RowCopy.partRows, bytes: RowCopy.partBytes)
            guard let end = rows.last else { return count }
            last = end.number
            try store.beginTransaction()
            for row in rows {
                // Of a topic that this program does not know.
                guard let name = names.first(where: { $0.id == row.lane })?.name,
                    let index = lanes.firstIndex(of: name), let record = lane(row.record.inLane(index))
                else { continue }
                try store.insert(record, number: store.nextNumber)
                try store.deleteParked(number: row.number)
                count += 1
            }
            try store.commit()
            try store.tidy()
        }
    }

    /// Deletes them, those that are corrupt or of topics of another version as well.
    ///
    /// - Returns: how many there were.
    package static func discard(in folder: String, lanes: [String]) throws(SpoolError) -> Int64 {
        let directory = try SpoolDirectory(folder, allowsAnyFileSystem: true)
        defer { withExtendedLifetime(directory) {} }
        let store = try open(directory, lanes)
        defer { store.close() }
        return try store.discardParked()
    }

    private static func open(_ directory: SpoolDirectory, _ lanes: [String]) throws(SpoolError) -> SpoolStore {
        _ = try directory.takeCopy()
        return try SpoolStore(path: directory.file, laneNames: lanes)
    }
}
