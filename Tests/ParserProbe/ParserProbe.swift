package import SMSBridgeHTTPServer

/// A request as the parser told it.
package struct ProbedRequest: Equatable, Sendable {
    package var method: [UInt8] = []
    package var target: [UInt8] = []
    /// `1.0` or `1.1`
    package var version = ""
    package var host: [UInt8] = []
    package var path: [UInt8] = []
    package var query: [UInt8]?
    package var headers: [[UInt8]] = []
    package var keepAlive = false
    package var expectsContinue = false
    package var body: [UInt8] = []
    /// The offset, in the whole stream, of the byte behind the request.
    package var end = 0
}

/// How a stream of bytes ends.
package enum ProbedEnding: Equatable, Sendable {
    /// Within a request, or between two.
    case needsMore
    case refused(RequestRule)
}

/// What a stream of bytes holds.
package struct ProbedStream: Equatable, Sendable {
    package var requests: [ProbedRequest] = []
    package var ending = ProbedEnding.needsMore
}

/// A promise of the parser's that does not hold.
package struct ProbeFailure: Error, CustomStringConvertible {
    package let description: String
}

/// Runs the request parser over bytes in the ways in which they can come.
package enum ParserProbe {
    /// Feeds the bare parser, which sees all bytes of a request at each step, and checks what it says of positions.
    ///
    /// - Parameter cuts: offsets in ascending order at which the stream is split.
    package static func parse(
        _ stream: [UInt8], splitAt cuts: [Int], limits: RequestParser.Limits = .init()
    ) throws(ProbeFailure) -> ProbedStream {
        var result = ProbedStream()
        var parser = RequestParser(limits: limits)
        var request = ProbedRequest()
        var base = 0
        for end in cuts + [stream.count] {
            reading: while true {
                let count = end - base
                let before = parser.position
                let event = parser.next(stream.span.extracting(base..<end).bytes)
                guard parser.position >= before, parser.position <= count else {
                    throw ProbeFailure(description: "position \(before) → \(parser.position) of \(count)")
                }
                switch event {
                case .needMore:
                    break reading
                case .head:
                    request = try read(parser.head, Array(stream[base..<end]))
                case .body(let cut):
                    guard cut.count > 0, cut.offset >= before, cut.end == parser.position else {
                        throw ProbeFailure(description: "body \(cut) read from \(before) to \(parser.position)")
                    }
                    request.body += stream[(base + cut.offset)..<(base + cut.end)]
                case .end:
                    base += parser.position
                    request.end = base
                    result.requests.append(request)
                    parser.reset()
                case .refused(let rule):
                    guard parser.next(stream.span.extracting(base..<end).bytes) == .refused(rule) else {
                        throw ProbeFailure(description: "a refusal that does not last")
                    }
                    result.ending = .refused(rule)
                    return result
                }
            }
        }
        return result
    }

    /// Feeds the buffer with which a connection reads, which grows, closes gaps and moves to another as there.
    package static func parseBuffered(
        _ stream: [UInt8], splitAt cuts: [Int], limits: RequestParser.Limits = .init()
    ) throws(ProbeFailure) -> ProbedStream {
        var result = ProbedStream()
        let shared = RequestBuffer(capacity: 256, limits: limits)
        var own: RequestBuffer?
        var request = ProbedRequest()
        var failure: ProbeFailure?
        var fed = 0
        for end in cuts + [stream.count] {
            while fed < end {
                let buffer = own ?? shared
                if buffer.free == 0 {
                    buffer.compact()
                    if buffer.free == 0 { buffer.grow(to: buffer.capacity * 2) }
                }
                let count = min(end - fed, buffer.free)
                stream.withUnsafeBytes { buffer.tail.copyMemory(from: .init(rebasing: $0[fed..<(fed + count)])) }
                buffer.added(count)
                fed += count
                reading: while true {
                    switch buffer.next() {
                    case .needMore, .body:
                        break reading
                    case .head:
                        buffer.withRequest { head, bytes, _ in
                            let bytes = bytes.withUnsafeBytes { Array($0) }
                            do throws(ProbeFailure) { request = try read(head, bytes) } catch { failure = error }
                        }
                    case .end:
                        buffer.withRequest { _, _, body in request.body = body.withUnsafeBytes { Array($0) } }
                        request.end = fed - (buffer.count - buffer.position)
                        result.requests.append(request)
                        buffer.advance()
                    case .refused(let rule):
                        result.ending = .refused(rule)
                        if let failure { throw failure }
                        return result
                    }
                }
                if own == nil, buffer.count > 0 {
                    buffer.compact()
                    let larger = RequestBuffer(capacity: buffer.count + 16, limits: limits)
                    larger.takeOver(buffer)
                    own = larger
                } else if let pending = own, pending.count == 0 {
                    own = nil
                }
            }
        }
        if let failure { throw failure }
        return result
    }

    private static func read(
        _ head: borrowing RequestHead, _ bytes: [UInt8]
    ) throws(ProbeFailure) -> ProbedRequest {
        var outside: Cut?
        func text(_ cut: Cut) -> [UInt8] {
            guard cut.offset >= 0, cut.count >= 0, cut.end <= head.byteCount, cut.end <= bytes.count else {
                outside = cut
                return []
            }
            return Array(bytes[cut.offset..<cut.end])
        }
        var request = ProbedRequest()
        request.method = text(head.methodCut)
        request.target = text(head.target)
        request.version = head.version == .http11 ? "1.1" : "1.0"
        request.host = text(head.host)
        request.path = text(head.path)
        request.query = head.query.map(text)
        head.forEachHeader { name, value in request.headers += [text(name), text(value)] }
        request.keepAlive = head.keepAlive
        request.expectsContinue = head.expectsContinue
        if let outside { throw ProbeFailure(description: "\(outside) in a head of \(head.byteCount) bytes") }
        return request
    }

    /// Checks that the stream means the same however it comes: whole, in two pieces, byte by byte, through the bare
    /// parser and through the connection's buffer.
    ///
    /// - Returns: what it means.
    /// - Throws: when two ways differ, or a cut lies outside.
    package static func check(
        _ stream: [UInt8], splits: some Sequence<Int>, limits: RequestParser.Limits = .init()
    ) throws(ProbeFailure) -> ProbedStream {
        let whole = try parse(stream, splitAt: [], limits: limits)
        func same(_ other: ProbedStream, _ way: @autoclosure () -> String) throws(ProbeFailure) {
            if other != whole {
                throw ProbeFailure(description: "whole: \(whole)\n\(way()): \(other)")
            }
        }
        try same(parseBuffered(stream, splitAt: [], limits: limits), "whole through the buffer")
        for split in splits where split > 0 && split < stream.count {
            try same(parse(stream, splitAt: [split], limits: limits), "split at \(split)")
            try same(parseBuffered(stream, splitAt: [split], limits: limits), "split at \(split) through the buffer")
        }
        if stream.count > 1, stream.count <= 8192 {
            let everywhere = Array(1..<stream.count)
            try same(parse(stream, splitAt: everywhere, limits: limits), "byte by byte")
            try same(parseBuffered(stream, splitAt: everywhere, limits: limits), "byte by byte through the buffer")
        }
        return whole
    }
}
