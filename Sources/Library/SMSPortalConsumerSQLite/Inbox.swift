internal import SMSBridgeThreads
internal import SMSPortalConsumer
internal import Synchronization

/// What is asked of the table.
enum Question: Sendable {
    case claim(EventClaimKey, expiry: Duration)
    case complete(EventClaim)
    case release(EventClaim)
}

enum Answer: Sendable {
    case claim(EventClaimOutcome)
    case isDone(Bool)
}

/// Questions on their way to the one thread that may touch the file: whatever has gathered is one transaction.
final class Inbox: Sendable {
    private struct State {
        var questions: [(Question, CheckedContinuation<Answer, any Error>)] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    private let bell: Doorbell
    /// At most so many questions share a transaction.
    private static let batch = 512

    init(bell: Doorbell) {
        self.bell = bell
    }

    func ask(_ question: Question) async throws -> Answer {
        try await withCheckedThrowingContinuation { continuation in
            let isTaken = state.withLock { state in
                guard !state.isClosed else { return false }
                state.questions.append((question, continuation))
                return true
            }
            guard isTaken else {
                continuation.resume(throwing: SQLiteProcessedEventsError(.closed, "the store is closed"))
                return
            }
            bell.ring()
        }
    }

    func close() {
        state.withLock { $0.isClosed = true }
        bell.ring()
    }

    /// Answers until it is closed. A table that fails is reopened.
    func serve(_ open: () throws(SQLiteProcessedEventsError) -> ClaimTable) {
        var table: ClaimTable?
        while true {
            let (questions, isClosed) = state.withLock { state in
                let taken = Array(state.questions.prefix(Self.batch))
                state.questions.removeFirst(taken.count)
                return (taken, state.isClosed)
            }
            guard !questions.isEmpty else {
                if isClosed { break }
                bell.wait(milliseconds: 60_000)
                table?.prune()
                continue
            }
            do throws(SQLiteProcessedEventsError) {
                let current: ClaimTable
                if let table { current = table } else { current = try open() }
                table = current
                let answers = try current.answer(questions.map(\.0))
                for (index, answer) in answers.enumerated() { questions[index].1.resume(returning: answer) }
                current.prune()
            } catch {
                table?.close()
                table = nil
                for (_, continuation) in questions { continuation.resume(throwing: error) }
            }
        }
        table?.close()
    }
}
