/// What becomes of the rows that no topic took, once a person has decided. For a spool that no bridge holds.
package enum ParkedRows {
    /// Puts them back into lanes, behind what waits there, to be published with the rest.
    ///
    /// - Parameters:
    ///   - folder: of the spool.
    ///   - lanes: the lanes' names.
    ///   - lane: the record as it is to be sent, in the lane where it belongs; nil leaves it parked.
    /// - Returns: how many there were.
    package static func putBack(
        in folder: String, lanes: [String], as lane: (SpoolRecord) -> SpoolRecord?
    ) throws(SpoolError) -> Int64 {
        try take(from: folder, lanes: lanes) { store, row throws(SpoolError) in
            guard let record = lane(row.record) else { return false }
            try store.insert(record, number: store.nextNumber)
            return true
        }
    }

    /// Deletes them.
    ///
    /// - Returns: how many there were.
    package static func discard(in folder: String, lanes: [String]) throws(SpoolError) -> Int64 {
        try take(from: folder, lanes: lanes) { _, _ in true }
    }

    private static func take(
        from folder: String, lanes: [String],
        _ body: (SpoolStore, InspectedRow) throws(SpoolError) -> Bool
    ) throws(SpoolError) -> Int64 {
        let directory = try SpoolDirectory(folder, allowsAnyFileSystem: true)
        let store = try SpoolStore(path: directory.file, laneNames: lanes)
        defer { store.close() }
        let reader = store.inspection
        let names = try reader.lanes()
        var last = Int64.min
        var count: Int64 = 0
        while true {
            let rows = try reader.rows(
                of: .parked, after: last, count: SpoolSalvage.batchRows, bytes: SpoolSalvage.batchBytes)
            guard let end = rows.last else { return count }
            last = end.number
            try store.beginTransaction()
            for var row in rows {
                // Of a topic that this program does not know.
                guard let name = names.first(where: { $0.id == row.lane })?.name, let lane = lanes.firstIndex(of: name)
                else { continue }
                row.record = row.record.inLane(lane)
                guard try body(store, row) else { continue }
                try store.deleteParked(number: row.number)
                count += 1
            }
            try store.commit()
            store.tidy()
        }
    }
}
