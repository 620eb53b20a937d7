internal import SMSBridgeFiles

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// A file could not be read; `reason` is the system's text, never the file's.
package struct FileFailure: Error, Equatable {
    package var reason: String
}

/// A small file as a whole.
@Sendable package func readWholeFile(_ path: String) -> Result<[UInt8], FileFailure> {
    let limit = 1 << 20
    // Not to wait for the other end of a pipe that nobody opens.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return .failure(FileFailure(reason: accessFailure(path, errno))) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
        return .failure(FileFailure(reason: String(cString: strerror(errno))))
    }
    let kind = status.st_mode & S_IFMT
    if kind == S_IFDIR { return .failure(FileFailure(reason: String(cString: strerror(EISDIR)))) }
    if kind != S_IFREG {
        // What comes through a pipe (`--config <(…)`) may take its time.
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
    }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 16_384)
    while true {
        let got = read(descriptor, &block, block.count)
        if got < 0, errno == EINTR { continue }
        if got < 0 { return .failure(FileFailure(reason: String(cString: strerror(errno)))) }
        if got == 0 { return .success(bytes) }
        bytes.append(contentsOf: block[..<got])
        if bytes.count > limit { return .failure(FileFailure(reason: "it has more than 1 MiB")) }
    }
}

/// Whether something other than a file is there, such as a pipe, which gives what it has but once.
func isStream(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG
}
