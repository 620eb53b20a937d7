/// What a spool holds, as people ask for it.
package struct SpoolStatus: Sendable, Equatable {
    package struct Lane: Sendable, Equatable {
        package var id: Int64
        package var name: String
        package var totals: SpoolTotals
        /// When its first row was received, in milliseconds since 1970; nil without one.
        package var oldest: Int64?
    }

    package var formatVersion: Int64
    package var lanes: [Lane]
    /// Rows that not even the quarantine topic took, by reason.
    package var parked: [String: Int64]

    package var rows: Int64 { lanes.reduce(0) { $0 + $1.totals.rows } }
    package var parkedRows: Int64 { parked.values.reduce(0, +) }
}

/// Which of a spool's tables is read.
package enum SpoolTable: Sendable, Hashable {
    /// A queue, by the number that the file gives it.
    case lane(Int64)
    case parked

    /// Its name in the file.
    var name: String {
        switch self {
        case .lane(let id): "lane_\(id)"
        case .parked: "parked"
        }
    }
}

/// A row of any table, outside of the path of an event.
package struct InspectedRow: Sendable {
    package var number: Int64
    /// The lane that it belongs to, or belonged to before it was parked.
    package var lane: Int64
    package var record: SpoolRecord
    /// Why it is parked; nil in a lane.
    package var reason: String?
}

/// A spool that can be asked: a file, or a running bridge.
package protocol SpoolSource: AnyObject {
    func status() throws(SpoolError) -> SpoolStatus

    /// The next rows of a table, in the order of acceptance.
    ///
    /// - Parameters:
    ///   - number: that of the last row that is known.
    ///   - count: at most so many; empty means that there are no more.
    func rows(of table: SpoolTable, after number: Int64, count: Int) throws(SpoolError) -> [InspectedRow]
}
