/// Adds records to the spool of a stopped bridge: all of them, or none.
package final class SpoolImport {
    private let directory: SpoolDirectory
    private let store: SpoolStore
    /// The next free number.
    private var next: Int64 = 0
    private var isClosed = false

    /// Opens a spool, or makes one, and begins the transaction. The folder's lock keeps bridges out until `close`.
    ///
    /// - Parameter lanes: the lanes' names.
    /// - Throws: `SpoolError`, `.locked` when a bridge holds the folder.
    package init(_ folder: String, lanes: [String], allowsAnyFileSystem: Bool) throws(SpoolError) {
        directory = try SpoolDirectory(folder, allowsAnyFileSystem: allowsAnyFileSystem)
        _ = try directory.takeCopy()
        store = try SpoolStore(path: directory.file, laneNames: lanes)
        do throws(SpoolError) {
            next = store.nextNumber
            try store.beginTransaction()
        } catch {
            store.close()
            isClosed = true
            throw error
        }
    }

    deinit {
        assert(isClosed, "an import is closed by its owner before it goes")
    }

    /// Adds a record after those that wait in its lane; with a reason, to the parked ones.
    package func append(_ record: SpoolRecord, reason: String?) throws(SpoolError) {
        if let reason {
            try store.park(record, number: next, reason: reason)
        } else {
            try store.insert(record, number: next)
        }
        next += 1
    }

    /// Makes all of them durable.
    package func commit() throws(SpoolError) { try store.commit() }

    /// Ends the import; what was not committed is not there.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        store.close()
        withExtendedLifetime(directory) {}
    }
}
