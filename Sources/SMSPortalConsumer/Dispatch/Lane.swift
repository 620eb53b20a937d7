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
    var state: State = .ready
    /// Of the first record: 1 for the first attempt.
    var attempt = 1
    /// Of the first record: why it goes to the dead letters.
    var failure: Failure?
    /// The first record; most lanes never have another.
    private(set) var first: ConsumedRecord?
    private var rest: [ConsumedRecord] = []
    private var taken = 0

    init(_ record: ConsumedRecord, assignment: AssignmentID) {
        first = record
        self.assignment = assignment
    }

    var count: Int { (first == nil ? 0 : 1) + rest.count - taken }

    mutating func append(_ record: ConsumedRecord) {
        rest.append(record)
    }

    /// The first record is done: the next one steps forward.
    ///
    /// - Returns: false when there is none.
    mutating func advance() -> Bool {
        attempt = 1
        failure = nil
        guard taken < rest.count else {
            first = nil
            return false
        }
        first = rest[taken]
        taken += 1
        if taken == rest.count || taken >= 64 {
            // Now and then, so that taking from the front costs nothing much.
            rest.removeFirst(taken)
            taken = 0
        }
        return true
    }

    /// Visits all records that wait.
    func forEach(_ body: (ConsumedRecord) -> Void) {
        if let first { body(first) }
        for record in rest[taken...] { body(record) }
    }
}
