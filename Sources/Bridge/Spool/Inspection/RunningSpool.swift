#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The spool of a running bridge, asked through its socket.
package final class RunningSpool: SpoolSource {
    private let folder: String

    package init(folder: String) {
        self.folder = folder
    }

    package func status() throws(SpoolError) -> SpoolStatus {
        guard let status = SpoolProtocol.status(try ask(.status)) else { throw unclear }
        return status
    }

    package func rows(of table: SpoolTable, after number: Int64, count: Int) throws(SpoolError) -> [InspectedRow] {
        var rows: [InspectedRow] = []
        for line in try ask(.rows(table, after: number, count: count)) {
            guard let row = SpoolProtocol.row(line) else { throw unclear }
            rows.append(row)
        }
        return rows
    }

    private var unclear: SpoolError {
        SpoolError(.io, "the bridge that holds \(folder) gave an answer that is not clear")
    }

    /// How long a part of an answer may take, in seconds: the writer may have a slow disk.
    private static let patience = 30

    private func ask(_ question: SpoolProtocol.Question) throws(SpoolError) -> [Substring] {
        let peer = try UnixSocket.connection(to: folder, name: SpoolProtocol.socketName)
        defer { close(peer) }
        UnixSocket.setTimeout(peer, seconds: Self.patience)
        guard UnixSocket.send(Array(SpoolProtocol.line(question).utf8), to: peer) else { throw unclear }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = recv(peer, &block, block.count, 0)
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw SpoolError(.io, "the bridge that holds \(folder) does not answer") }
            if count == 0 { break }
            bytes += block[..<count]
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        guard let head = lines.first else { throw unclear }
        let words = head.split(separator: " ", maxSplits: 2)
        if words.first == "error", words.count == 3 {
            throw SpoolError(SpoolError.Code(rawValue: String(words[1])) ?? .io, "the bridge says: \(words[2])")
        }
        guard words.first == "ok", words.count == 2, Int(words[1]) == lines.count - 1 else { throw unclear }
        return Array(lines.dropFirst())
    }
}
