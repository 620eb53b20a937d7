/// The records of one key that wait for their turn, in their order. It lives as long as one of them does.
struct Lane {
    enum State {
        /// In the queue of those that can go on.
        case ready
        /// The first of its records is being handled.
        case running
        /// The first of its records is tried again later.
        case waiting
    }

    let assignment: AssignmentID
    /// What its records have in common (``ConsumedRecord/order``).
    let order: UInt64
    var state: State = .ready
    /// Of the first record: 1 for the first attempt.
    var attempt = 1
    /// Of the first record: why it goes to the dead letters.
    var failure: Failure?
    /// The first record; most lanes never have another.
    private var first: ConsumedRecord?
    /// The first record's place in the line of all records.
    private(set) var place: UInt64
    private var rest: [(record: ConsumedRecord, place: UInt64)] = []
    private var taken = 0

    init(_ record: ConsumedRecord, place: UInt64, assignment: AssignmentID) {
        first = record
        self.place = place
        order = record.order
        self.assignment = assignment
    }

    var count: Int { (first == nil ? 0 : 1) + rest.count - taken }

    mutating func append(_ record: ConsumedRecord, place: UInt64) {
        rest.append((record, place))
    }

    /// Its first record's turn has come.
    mutating func begin(as reference: LaneReference) -> Work? {
        guard let first else { return nil }
        state = .running
        return Work(record: first, attempt: attempt, failure: failure, assignment: assignment, lane: reference)
    }

    /// Its first record is not done, and tried again later.
    mutating func wait(_ later: WorkResult.Later) {
        state = .waiting
        failure = later.failure
        if later.countsAttempt { attempt += 1 }
    }

    /// The first record is done: the next one steps forward.
    ///
    /// - Returns: false when there is none.
    mutating func advance() -> Bool {
        attempt = 1
        failure = nil
        state = .ready
        guard taken < rest.count else {
            first = nil
            return false
        }
        (first, place) = rest[taken]
        taken += 1
        if taken == rest.count || taken >= 64 {
            // Now and then, so that taking from the front costs nothing much.
            rest.removeFirst(taken)
            taken = 0
        }
        return true
    }

    /// Lets go of all records.
    mutating func removeAll() {
        first = nil
        rest = []
        taken = 0
    }

    /// Visits all records that wait.
    func forEach(_ body: (ConsumedRecord) -> Void) {
        if let first { body(first) }
        for waiting in rest[taken...] { body(waiting.record) }
    }
}
