import CSMSBridgeFaultyDisk
import Foundation
import Testing

@testable import SMSBridgeSpool

/// The disk below a spool's folder, which fails on request. SQLite above it is the real one.
///
/// `@unchecked Sendable`: the C side has a lock.
final class FaultyDisk: @unchecked Sendable {
    enum Operation: Int32 {
        case read = 1
        case write = 2
        case sync = 4
        case open = 8
    }

    private let disk: OpaquePointer

    init(_ scratch: Scratch) throws {
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        // As SQLite names it.
        let folder = try #require(realpath(scratch.path, nil))
        defer { free(folder) }
        disk = try #require(smsbridge_disk_new(folder))
    }

    deinit { smsbridge_disk_free(disk) }

    func fail(_ operations: [Operation], with error: Int32, after: Int64 = 0, times: Int64 = -1) {
        smsbridge_disk_fail(disk, operations.reduce(0) { $0 | $1.rawValue }, error, after, times)
    }

    func work() { smsbridge_disk_fail(disk, 0, 0, 0, 0) }

    /// Lets files grow by so many bytes, and fail beyond; nil for no bound.
    func setRoom(_ bytes: Int64?, error: Int32 = ENOSPC) { smsbridge_disk_set_room(disk, bytes ?? -1, error) }

    /// The process that has the files open has ended: what it does from now on does not reach them.
    func kill() { smsbridge_disk_kill(disk) }

    /// After `kill`, when nothing is open any more.
    func restart(losingPower seed: UInt64? = nil) { smsbridge_disk_restart(disk, seed == nil ? 0 : 1, seed ?? 0) }
}
