/// Changes to the file, and those that the disk does not take.
extension SpoolWriter {
    /// Deletes of a transaction on a full disk: its pages find room in the log that was there before.
    private static let smallTransactionChanges = 32

    func write(_ part: ArraySlice<SpoolCommand>) {
        guard part.contains(where: \.writes) else { return }
        guard let store, recovery.isServing else {
            remember(part)
            return reject(part, unavailable)
        }
        // While the disk is full, deletes are committed in small transactions, from the pending ones.
        guard health.takesInserts else {
            remember(part)
            return reject(part, health.error ?? unavailable)
        }
        let takesInserts = hasRoom(store)
        do throws(SpoolError) {
            try store.beginTransaction()
            for command in part { try carryOut(command, in: store, takesInserts: takesInserts) }
            try store.commit()
        } catch {
            store.rollback()
            remember(part)
            reject(part, error)
            return writesFailed(error)
        }
        recovery.foundSound(.writing)
        remember(movesOf: part, areCarriedOut: true)
        guard takesInserts else {
            return reject(
                part,
                health.error ?? SpoolError(.full, "\(configuration.path): the disk is full, but for what is reserved"))
        }
        var tokens: [UInt64] = []
        for case .insert(let record, let number, let token) in part {
            tokens.append(token)
            pending.deletes.keep(number, lane: record.lane)
        }
        guard !tokens.isEmpty else { return }
        events.append(.durable(tokens: tokens))
        if health.committedInserts() { writesRecovered() }
    }

    private func carryOut(_ command: SpoolCommand, in store: SpoolStore, takesInserts: Bool) throws(SpoolError) {
        switch command {
        case .insert(let record, let number, _): if takesInserts { try store.insert(record, number: number) }
        case .delete(let lane, let number):
            if let source = pending.source(ofMoveTo: lane, number) {
                try store.delete(lane: source.lane, number: source.number)
            }
            try store.delete(lane: lane, number: number)
        case .park, .move: try move(command, in: store)
        case .read, .inspect: break
        }
    }

    private func move(_ command: SpoolCommand, in store: SpoolStore) throws(SpoolError) {
        switch command {
        case .park(let record, let number, let reason):
            try store.park(record, number: number, reason: reason)
            try store.delete(lane: record.lane, number: number)
        case .move(let record, let number, let lane, let old):
            try store.insert(record, number: number)
            try store.delete(lane: lane, number: old)
        case .insert, .delete, .read, .inspect: break
        }
    }

    private func reject(_ batch: ArraySlice<SpoolCommand>, _ error: SpoolError) {
        let tokens = batch.compactMap { command -> UInt64? in
            if case .insert(_, _, let token) = command { token } else { nil }
        }
        if !tokens.isEmpty { events.append(.rejected(tokens: tokens, error)) }
    }

    // MARK: - Pending changes

    /// Remembers what a batch was to take away.
    private func remember(_ part: ArraySlice<SpoolCommand>) {
        for case .delete(let lane, let number) in part { remember(delete: number, lane: lane) }
        remember(movesOf: part, areCarriedOut: false)
    }

    private func remember(movesOf part: ArraySlice<SpoolCommand>, areCarriedOut: Bool) {
        for command in part {
            switch command {
            case .park, .move: if !areCarriedOut { pending.add(move: command) }
            case .delete(let lane, let number):
                guard let source = pending.source(ofMoveTo: lane, number) else { continue }
                pending.removeMove(to: lane, number)
                remember(delete: source.number, lane: source.lane)
            case .insert, .read, .inspect: break
            }
        }
    }

    private func remember(delete number: Int64, lane: Int) {
        var bytes: Int64?
        if let store {
            do throws(SpoolError) {
                bytes = try store.bytes(lane: lane, number)
                // Its insert was rejected, or it is gone.
                if bytes == nil { return }
            } catch { bytes = nil }
        }
        pending.deletes.add(number, lane: lane, bytes: bytes) { lower, upper in
            guard let store else { return false }
            do throws(SpoolError) { return try !store.hasRows(lane: lane, after: lower, before: upper) } catch {
                return false
            }
        }
    }

    func measurePending(_ store: SpoolStore) {
        pending.deletes.measure { lane, range in try? store.totals(lane: lane, range) }
    }

    /// Whether there is something to do in small parts: others wait for one part at most.
    var hasWork: Bool {
        guard let store, recovery.isServing else { return false }
        return health.isRetryDue(clock()) || !health.isFailing && (store.isShrinkDue || hasPendingWork)
    }

    private var hasPendingWork: Bool { !pending.deletes.isEmpty || health.takesInserts && !pending.isEmpty }

    /// Commits a part of what is pending: deletes first, for they make room.
    private func commitPending() {
        guard let store, recovery.isServing else { return }
        do throws(SpoolError) {
            if let (lane, range) = pending.deletes.first {
                let limit = health.error == nil ? Self.transactionChanges : Self.smallTransactionChanges
                try store.beginTransaction()
                let (deleted, end) = try store.delete(lane: lane, range, atMost: limit)
                try store.commit()
                pending.deletes.committed(through: end, lane: lane, deleted)
            } else if let command = pending.moves.first, health.takesInserts {
                try store.beginTransaction()
                try move(command, in: store)
                try store.commit()
                pending.removeFirstMove()
            } else {
                try store.probe()
            }
            health.succeeded(now: clock())
        } catch {
            store.rollback()
            // Another row has the number of the copy: it cannot be stored, and is rejected again when it is read.
            if error.code == .conflict { pending.removeFirstMove() }
            writesFailed(error)
        }
    }

    // MARK: - Failures

    /// - Parameter copiesLog: whether the log must be copied into the file before anything counts as durable.
    func writesFailed(_ error: SpoolError, copiesLog: Bool = false) {
        switch error.code {
        case .conflict: return
        case .corrupt: return foundCorruption(error, while: .writing)
        case .moved: return foundRemoved()
        default: break
        }
        if error.code == .full { directory?.releaseSpace() }
        guard health.failed(error, copiesLog: copiesLog, now: clock()) else { return }
        events.append(.writesFailing(error))
        report()
    }

    private func writesRecovered() {
        events.append(.writesRecovered)
        report()
    }

    /// Does what is due between two batches.
    func maintain(isIdle: Bool) {
        guard let store, recovery.isServing else { return }
        if health.isRetryDue(clock()) { retry(store) }
        if recovery.isServing, !health.isFailing {
            if hasPendingWork { commitPending() }
            if isIdle { tidy() }
        }
        if health.calmed(now: clock()) { writesRecovered() }
    }

    private func retry(_ store: SpoolStore) {
        switch health.state {
        case .working: break
        case .full:
            // The log first, so that deletes find room in it when other processes take the rest of the disk.
            let isCopied = (try? store.copyLog(truncates: false)) != nil
            let hasRoom = isCopied && hasRoom(store) && directory?.reserveSpace(leaving: reserve) == true
            health.foundRoom(hasRoom, now: clock())
        case .failing(let copiesLog):
            do throws(SpoolError) {
                if copiesLog { try store.copyLog(truncates: true) }
            } catch { return writesFailed(error) }
            // Then the log begins again in the room that it has; on a full disk there may be no other.
            if !copiesLog { try? store.copyLog(truncates: false) }
            commitPending()
        }
    }

    func tidy() {
        guard let store, recovery.isServing, !health.isFailing else { return }
        do throws(SpoolError) { try store.tidy() } catch { writesFailed(error) }
    }

    /// Commits what is pending, as far as the disk takes it.
    func commitAllPending() {
        while recovery.isServing, !health.isFailing, hasPendingWork { commitPending() }
        tidy()
    }
}
