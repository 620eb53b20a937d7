package import SMSBridgeThreads
internal import Synchronization

/// How the spool is kept.
package struct SpoolConfiguration: Sendable {
    /// Its folder.
    package var path: String
    /// The lanes' names, in the order of their numbers.
    package var lanes: [String]
    /// Whether file systems of memory and network are taken.
    package var allowsAnyFileSystem = false
    /// Inserts are refused when the disk has less free than this, in bytes, or than a twentieth of its size.
    package var reserveBytes: Int64 = 128 << 20
    /// At most so many bytes of records wait for the writer.
    package var maxQueuedBytes = 32 << 20
    /// A file of at most so many bytes is read whole before it is used: so much is read in a moment from any disk.
    var verifiedFileBytes = 16 << 20
    /// How long the sound rows of a corrupt file are copied before all of it is left to a person; nothing is stored
    /// then.
    var recoveryLimit = Duration.seconds(60)

    package init(path: String, lanes: [String]) {
        self.path = path
        self.lanes = lanes
    }
}

/// What the spool is asked to do; carried out in this order.
package enum SpoolCommand: Sendable {
    /// Stores a record; `token` comes back when it is durable, or cannot be made so.
    case insert(SpoolRecord, number: Int64, token: UInt64)
    /// Kafka has it: the row goes.
    case delete(lane: Int, number: Int64)
    /// Kafka will never take it: from its lane to the parked ones.
    case park(SpoolRecord, number: Int64, reason: String)
    /// Kafka will never take it in its lane: to another one, both or none.
    case move(SpoolRecord, number: Int64, fromLane: Int, fromNumber: Int64)
    /// Asks for the next rows of a lane.
    case read(lane: Int, after: Int64, count: Int, bytes: Int)
    /// An inspection request; answered on the writer's thread after everything before it.
    case inspect(SpoolInquiry)
}

/// A question from outside, and where its answer goes.
package struct SpoolInquiry: Sendable {
    let question: SpoolProtocol.Question
    let reply: @Sendable (SpoolProtocol.Answer) -> Void
}

/// A corrupt file that was renamed.
package struct QuarantinedFile: Sendable {
    /// Its new name.
    package let path: String
    /// The problem.
    package let reason: SpoolError
    /// How many of its rows are in the new file; nil when all of it is left to a person.
    package let copied: Int64?
    /// What is not among them, in words; or why there are none.
    package let left: [String]
}

/// What the spool's folder and its disk look like.
package struct SpoolDisk: Sendable {
    /// Free space, in bytes.
    package let freeBytes: Int64
    /// Whether that is above what is reserved for deleting rows, and the folder can be written: else nothing is stored.
    package let hasRoom: Bool
    /// Files in the folder that are quarantined.
    package let quarantinedFiles: Int
    /// Rows that were delivered and are still in the file, because their delete cannot be committed. They are in no
    /// total.
    package let pendingDeletes: Int64
    /// Why changes cannot be committed; nil while they can.
    package let writeError: SpoolError?
}

/// What the spool tells.
package enum SpoolEvent: Sendable {
    /// The file is open. Numbers from `nextNumber` on are free.
    case opened(nextNumber: Int64, totals: [SpoolTotals])
    /// These inserts are on disk, synced.
    case durable(tokens: [UInt64])
    /// These could not be stored.
    case rejected(tokens: [UInt64], SpoolError)
    case rows(lane: Int, [SpoolRow])
    /// The rows that were asked for could not be read: this says nothing of whether there are any. `opened` follows
    /// when it is worth another attempt at once.
    case readFailed(lane: Int, SpoolError)
    /// The figures after a batch.
    case totals([SpoolTotals], oldest: [Int64?], parked: Int64, disk: SpoolDisk)
    /// The file is not open: nothing can be stored or read now; it is tried again every second.
    case failed(SpoolError)
    /// Changes cannot be committed, for this reason; rows can be read. Sent once for each reason.
    case writesFailing(SpoolError)
    /// Changes are committed again.
    case writesRecovered
    /// The file was corrupt, and a new one has taken its place.
    case quarantined(QuarantinedFile)
    /// The files were removed from this folder while they were open. Rows are read from the open file, and copied into
    /// a new one; nothing is stored until that is complete.
    case filesRemoved(folder: String)
    /// The copy is complete, with so many rows.
    case filesRestored(folder: String, rows: Int64)
    /// The folder is lost with its container: reported once, when it is opened.
    case inContainerLayer(String)
    /// Other processes cannot ask about the spool.
    case notInspectable(SpoolError)
}

/// The durable local queue: what Kafka has not acknowledged in time waits here, synced to disk.
///
/// One thread writes. Everything queued while it was busy is one transaction, and one sync; then all of it is reported
/// at once. `submit` may be called from any thread and never blocks.
package final class Spool: Sendable {
    private struct Queue {
        var commands: [SpoolCommand] = []
        var bytes = 0
        var isStopping = false
    }

    private let queue = Mutex(Queue())
    private let bell: Doorbell
    private let maxQueuedBytes: Int
    private let thread = Mutex<NamedThread?>(nil)
    private let isOver = Atomic<Bool>(false)

    /// Starts the writer; the file is opened on its thread, and `tell` gets `.opened` or `.failed`.
    ///
    /// - Parameter tell: called on the writer's thread with what has come of a batch.
    package init(
        _ configuration: SpoolConfiguration, tell: @escaping @Sendable ([SpoolEvent]) -> Void
    ) throws(ThreadError) {
        bell = try Doorbell()
        maxQueuedBytes = configuration.maxQueuedBytes
        let started = try NamedThread("spool") { [self] in
            let writer = SpoolWriter(configuration, tell: tell) { [weak self] question, reply in
                _ = self?.submit([.inspect(SpoolInquiry(question: question, reply: reply))])
            }
            writer.run(next: { [self] wait in take(waiting: wait) })
            isOver.store(true, ordering: .releasing)
        }
        thread.withLock { $0 = started }
    }

    /// Queues commands.
    ///
    /// - Returns: false when the queue is full; then none of them was taken.
    package func submit(_ commands: [SpoolCommand]) -> Bool {
        let size = commands.reduce(0) { $0 + $1.size }
        let (isTaken, wasEmpty) = queue.withLock { queue -> (Bool, Bool) in
            // What frees room, or only asks, is always taken.
            if size > 0, queue.bytes + size > maxQueuedBytes { return (false, false) }
            let wasEmpty = queue.commands.isEmpty
            queue.commands += commands
            queue.bytes += size
            return (true, wasEmpty)
        }
        if isTaken, wasEmpty { bell.ring() }
        return isTaken
    }

    /// Tells the writer to end once it has written what is queued. Never blocks.
    package func requestStop() {
        queue.withLock { $0.isStopping = true }
        bell.ring()
    }

    /// Writes what is queued and ends; blocks until then, without a bound where the disk does not answer.
    package func stop() {
        requestStop()
        thread.withLock { $0 }?.join()
    }

    /// Whether the writer has ended and closed the file.
    package var hasEnded: Bool { isOver.load(ordering: .acquiring) }

    /// - Returns: what has gathered; nil when the spool is to end and nothing is left.
    private func take(waiting milliseconds: Int32) -> [SpoolCommand]? {
        for attempt in 0..<2 {
            let taken = queue.withLock { queue -> [SpoolCommand]? in
                if queue.commands.isEmpty, queue.isStopping { return nil }
                defer {
                    queue.commands = []
                    queue.bytes = 0
                }
                return queue.commands
            }
            guard let taken else { return nil }
            if !taken.isEmpty || attempt == 1 { return taken }
            bell.wait(milliseconds: milliseconds)
        }
        return []
    }
}

extension SpoolCommand {
    /// Whether it changes the file.
    var writes: Bool {
        switch self {
        case .read, .inspect: false
        case .insert, .delete, .park, .move: true
        }
    }

    /// What it takes in the queue.
    var size: Int {
        switch self {
        case .insert(let record, _, _): record.size
        case .delete, .park, .move, .read, .inspect: 0
        }
    }
}
