internal import CSMSBridgeSystem
internal import SMSBridgeFiles

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The folder of a spool: made if it is missing, judged, and held against a second process.
final class SpoolDirectory: Sendable {
    let path: String
    private let lock: Int32
    /// Mode and owner: a folder that was removed is made again with them.
    private let attributes: (mode: mode_t, owner: uid_t, group: gid_t)?

    var file: String { path + "/spool.db" }
    private var ballast: String { path + "/ballast" }
    /// The sound rows of a corrupt file, complete and synced, about to take that one's place.
    private var copy: String { Self.copy(in: path) }
    static func copy(in path: String) -> String { path + "/spool-copied.db" }
    /// The same before it is complete.
    var unfinishedCopy: String { path + "/spool-copying.db" }

    /// Bytes that are kept in a file of their own, to be released when the disk is full: deleting rows needs room, too. Less
    /// on a small disk.
    static let ballastBytes: Int64 = 16 << 20

    /// - Parameters:
    ///   - allowsAnyFileSystem: whether memory and network file systems are taken.
    ///   - removed: what was there before it was removed.
    /// - Throws: `SpoolError`, `.locked` when another process has the folder.
    init(_ path: String, allowsAnyFileSystem: Bool, like removed: SpoolDirectory? = nil) throws(SpoolError) {
        self.path = path
        if mkdir(path, 0o700) != 0 {
            guard errno == EEXIST else {
                throw SpoolError(.directory, "spool.path: cannot make \(path): \(accessFailure(path, errno))")
            }
        } else if let before = removed?.attributes {
            // What another user made can only be given back to that user by root.
            _ = chown(path, before.owner, before.group)
            _ = chmod(path, before.mode)
        }
        var status = stat()
        attributes =
            stat(path, &status) == 0 ? (status.st_mode & 0o7777, status.st_uid, status.st_gid) : removed?.attributes
        if !allowsAnyFileSystem, let name = Self.unsafeFileSystem(of: path) {
            throw SpoolError(
                .fileSystem,
                "spool.path: \(path) is on \(name), which keeps nothing over a crash or cannot be relied on to; "
                    + "spool.anyFileSystem: true takes it all the same")
        }
        let descriptor = open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Self.notWritable(path + "/lock", in: path, errno)
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw SpoolError(.locked, "spool.path: another process holds \(path)")
        }
        // From here on the end of this object closes it.
        lock = descriptor
        discard(unfinishedCopy)
        if !hasCopy { try makeFile() }
    }

    /// Whether the lock is still that of the folder at the path: it may have been removed, and made again.
    var holdsLock: Bool {
        var (own, there) = (stat(), stat())
        return fstat(lock, &own) == 0 && stat(path + "/lock", &there) == 0 && own.st_dev == there.st_dev
            && own.st_ino == there.st_ino
    }

    /// Whether a complete copy waits to take the place of the file.
    var hasCopy: Bool { Self.exists(copy) }

    private static func exists(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0
    }

    /// Events are still published while Kafka answers, so the text says how to repair it before Kafka's next outage.
    private static func notWritable(_ file: String, in path: String, _ code: Int32) -> SpoolError {
        let remedy = code == EACCES ? "; chown -R \(geteuid()):\(getegid()) \(path)" : ""
        return SpoolError(.directory, "spool.path: cannot write to \(file): \(accessFailure(file, code))\(remedy)")
    }

    /// Makes an empty file where there is none, for its owner only: SQLite gives its log the same permissions.
    func makeFile(_ name: String? = nil) throws(SpoolError) {
        let descriptor = open(name ?? file, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Self.notWritable(name ?? file, in: path, errno)
        }
        close(descriptor)
    }

    /// A copy is complete: from now on it, and not the corrupt file, is the spool, whenever this process ends.
    func finishCopy() throws(SpoolError) {
        try move(unfinishedCopy, to: copy)
    }

    /// Puts the copy, if there is one, in the place of the spool's own file, which is quarantined. May be called again after it
    /// has failed, or after the process has ended in the middle of it.
    ///
    /// - Returns: the new name of the file; nil when there was nothing to quarantine.
    func takeCopy() throws(SpoolError) -> String? {
        guard hasCopy else { return nil }
        let quarantined = try quarantine()
        try move(copy, to: file)
        return quarantined
    }

    private func move(_ old: String, to new: String) throws(SpoolError) {
        guard rename(old, new) == 0 else { throw SpoolError(.io, "cannot rename \(old): \(Self.reason)") }
        let folder = open(path, O_RDONLY | O_CLOEXEC)
        guard folder >= 0 else { return }
        fsync(folder)
        close(folder)
    }

    deinit {
        close(lock)
    }

    private static var reason: String { String(cString: strerror(errno)) }

    private static func unsafeFileSystem(of path: String) -> String? {
        fileSystemName(ofType: UInt32(truncatingIfNeeded: csystem_file_system_type(path)))
    }

    /// The file system's name when it is one of memory, of the network or shared with a host; by its magic number (statfs(2),
    /// the kernel's magic.h, and the sources of those that are not in it).
    static func fileSystemName(ofType type: UInt32) -> String? {
        switch type {
        case 0x0102_1994: "tmpfs"
        case 0x8584_58F6: "ramfs"
        case 0x6969: "NFS"
        case 0xFF53_4D42, 0xFE53_4D42, 0x517B: "SMB"
        case 0x0102_1997: "9p"
        case 0x6573_5546: "FUSE"
        case 0x00C3_6400: "CephFS"
        case 0x0BD0_0BD0: "Lustre"
        case 0x4750_4653: "GPFS"
        case 0x5346_414F, 0x6B41_4653: "AFS"
        case 0x1983_0326: "BeeGFS"
        case 0x786F_4256: "a folder shared by VirtualBox"
        default: nil
        }
    }

    /// Whether the folder is in the writable layer of a container, which goes with it.
    var isInContainerLayer: Bool {
        csystem_file_system_type(path) == 0x794C_7630
    }

    /// Free and whole size of the disk for this process, in bytes.
    var space: (free: Int64, total: Int64) {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return (0, 0) }
        let block = Int64(status.f_frsize)
        return (Int64(status.f_bavail) * block, Int64(status.f_blocks) * block)
    }

    /// Whether this process may still write there: a disk with errors is often made read-only under it.
    var isWritable: Bool { access(path, W_OK) == 0 }

    /// Takes up the reserved space, unless it is there.
    ///
    /// - Parameter room: bytes that must be free beside it; at least as many as it takes.
    /// - Returns: whether it is there.
    func reserveSpace(leaving room: Int64) -> Bool {
        if Self.exists(ballast) { return true }
        let space = space
        let bytes = min(Self.ballastBytes, space.total / 32)
        guard space.free > max(room, bytes) + bytes else { return false }
        guard bytes > 0 else { return true }
        let descriptor = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return false }
        let hasFailed = posix_fallocate(descriptor, 0, off_t(bytes)) != 0
        close(descriptor)
        if hasFailed { unlink(ballast) }
        return !hasFailed
    }

    /// Gives up the reserved space, for deletes.
    func releaseSpace() { unlink(ballast) }

    /// The file first: should the process end in between, its log stands beside none, which is found to be wrong, and not
    /// beside a file that looks whole without it.
    private static let suffixes = ["", "-wal", "-shm", "-journal"]

    /// Removes a file that is not needed, and what belongs to it.
    func discard(_ path: String) {
        for suffix in Self.suffixes { unlink(path + suffix) }
    }

    /// Whether there certainly is nothing in it.
    private static func isEmpty(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_size == 0 : errno == ENOENT
    }

    /// Renames a corrupt file and its log, so that a new one can take their place. What was quarantined before is never
    /// overwritten: the folder's lock keeps other processes from choosing the same name.
    ///
    /// - Returns: the new name, nil when there was nothing to rename.
    /// - Throws: `SpoolError`, `.io` when it cannot be renamed.
    func quarantine() throws(SpoolError) -> String? {
        if Self.isEmpty(file), Self.isEmpty(file + "-wal") {
            discard(file)
            return nil
        }
        let base = "\(path)/spool-quarantined-\(time(nil))-\(getpid())"
        var name = base + ".db"
        var count = 1
        while Self.suffixes.contains(where: { Self.isTaken(name + $0) }) {
            count += 1
            name = "\(base)-\(count).db"
        }
        var isAny = false
        for suffix in Self.suffixes {
            if rename(file + suffix, name + suffix) == 0 {
                isAny = true
            } else if errno != ENOENT {
                throw SpoolError(.io, "cannot rename \(file + suffix): \(Self.reason)")
            }
        }
        return isAny ? name : nil
    }

    /// Anything counts but the certainty that there is nothing.
    private static func isTaken(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 || errno != ENOENT
    }
}
