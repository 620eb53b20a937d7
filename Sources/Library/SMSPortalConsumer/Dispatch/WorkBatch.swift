/// What a worker has taken at once: what it has done of it, what it is at, and what it has not begun.
///
/// Pure, without clock and threads. The worker works through it; the polling thread looks at it now and then, and takes
/// from a worker that does not get on what the worker has not begun.
struct WorkBatch {
    private var works: [Work] = []
    private var results: [WorkResult] = []
    /// How many have been begun: what is done, and the one that the worker is at.
    private var begun = 0
    /// How many were begun when ``isStuck()`` was asked last.
    private var begunBefore = 0
    private(set) var isCancelled = false

    /// What the worker is at.
    var current: Work? { begun > results.count ? works[begun - 1] : nil }

    /// How many are done.
    var finished: Int { results.count }

    /// How many the worker has not begun.
    var waiting: Int { works.count - begun }

    mutating func add(_ work: Work) {
        works.append(work)
    }

    /// Notes what became of the one that the worker was at, and gives it the next one.
    ///
    /// - Returns: nil when there is none, or when the worker is cancelled.
    mutating func next(after result: WorkResult?) -> Work? {
        if let result { results.append(result) }
        guard begun < works.count, !isCancelled else { return nil }
        begun += 1
        return works[begun - 1]
    }

    /// Takes away all but what the worker is at.
    ///
    /// - Parameters:
    ///   - finish: Gets what is done.
    ///   - giveBack: Gets what has not been begun.
    mutating func settle(finish: (Work, WorkResult) -> Void, giveBack: (Work) -> Void) {
        for (index, result) in results.enumerated() { finish(works[index], result) }
        for index in begun..<works.count { giveBack(works[index]) }
        let current = current
        works.removeAll(keepingCapacity: true)
        results.removeAll(keepingCapacity: true)
        begun = 0
        begunBefore = 0
        if let current {
            works.append(current)
            begun = 1
        }
    }

    /// Whether others wait for a worker that has begun nothing since this was asked last.
    mutating func isStuck() -> Bool {
        defer { begunBefore = begun }
        return begun == begunBefore && waiting + finished > 0
    }

    /// Begins nothing more.
    mutating func cancel() {
        isCancelled = true
    }
}
