import SMSBridgeHTTPServer
import SMSBridgeParserProbe

/// Takes the input for a stream of requests, and checks that it means the same whole, split at a place that the input
/// chooses, split twice, and byte by byte; that no cut lies outside; and that limits smaller than the defaults hold.
///
/// The first three bytes choose limits and splits, so that every path is within a few bytes' reach.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzRequestParser(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data, count >= 3 else { return 0 }
    let input = Array(UnsafeBufferPointer(start: data, count: count))
    let stream = Array(input[3...])
    var limits = RequestParser.Limits()
    if input[0] & 1 != 0 {
        limits.maxTargetBytes = 40
        limits.maxHeaderBytes = 120
        limits.maxHeaders = 5
        limits.maxBodyBytes = 30
        limits.maxChunkExtensionBytes = 12
    }
    let first = stream.isEmpty ? 0 : Int(input[1]) * 256 + Int(input[2])
    let split = stream.isEmpty ? 0 : first % (stream.count + 1)
    do {
        let parsed = try ParserProbe.check(stream, splits: [split, stream.count - split], limits: limits)
        for request in parsed.requests {
            precondition(request.body.count <= limits.maxBodyBytes, "a body beyond its limit")
            precondition(request.target.count <= limits.maxTargetBytes, "a target beyond its limit")
            precondition(request.headers.count / 2 <= limits.maxHeaders, "headers beyond their limit")
            precondition(request.end <= stream.count, "a request that ends behind the input")
            precondition(request.path.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x23 }, "a byte that no path has")
            precondition(
                (request.query ?? []).allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != 0x23 }, "a byte that no query has")
            precondition(request.version == "1.0" || !request.host.isEmpty || hasEmptyHost(request), "no host")
        }
    } catch {
        fatalError("\(error)")
    }
    return 0
}

/// Whether the request says that its authority is empty.
private func hasEmptyHost(_ request: ProbedRequest) -> Bool {
    zip(request.headers.indices, request.headers).contains { index, name in
        index % 2 == 0 && name.map { $0 | 0x20 } == Array("host".utf8) && request.headers[index + 1].isEmpty
    }
}
