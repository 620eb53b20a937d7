/// Bytes of requests that are being read, and the parser that reads them.
///
/// The server has a large one into which every connection reads first. A connection gets one of its own only while
/// something is left in it: a request that is not whole, or requests behind one that waits for its answer.
package final class RequestBuffer {
    // Unchecked: a buffer is only used by the connection that reads, and a handler that it calls gets the head alone.
    @exclusivity(unchecked) private var memory: UnsafeMutableRawBufferPointer
    /// Where the request that is being read begins.
    @exclusivity(unchecked) private var start = 0
    /// Where the bytes that have come end.
    @exclusivity(unchecked) private var end = 0
    /// Where, from `start`, the body read so far ends: behind the head.
    @exclusivity(unchecked) private var bodyEnd = 0
    /// In memory of its own, which `takeOver` hands from buffer to buffer.
    @exclusivity(unchecked) private var parser: UnsafeMutablePointer<RequestParser>

    package init(capacity: Int, limits: RequestParser.Limits) {
        memory = .allocate(byteCount: capacity, alignment: 16)
        parser = .allocate(capacity: 1)
        parser.initialize(to: RequestParser(limits: limits))
    }

    deinit {
        parser.deinitialize(count: 1)
        parser.deallocate()
        memory.deallocate()
    }

    /// Where, from the present request's first byte, the next byte to be judged is.
    package var position: Int { parser.pointee.position }
    /// Whether a byte of a request has come.
    var hasBegun: Bool { parser.pointee.hasBegun }
    /// Whether the present request's head is whole and its body is not.
    var isInBody: Bool { parser.pointee.isInBody }
    /// Whether the present request is HEAD, as far as it is known.
    var isHead: Bool { parser.pointee.head.method == .head }

    package var capacity: Int { memory.count }
    /// Bytes from the present request's first on.
    package var count: Int { end - start }
    package var free: Int { memory.count - end }

    /// Where to read into.
    package var tail: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: memory[end...])
    }

    package func added(_ count: Int) {
        end += count
    }

    /// Reads the next event of the present request, closing the gaps between the pieces of its body.
    package func next() -> RequestParser.Event {
        while true {
            let event = parser.pointee.next(UnsafeRawBufferPointer(rebasing: memory[start..<end]).bytes)
            switch event {
            case .head:
                bodyEnd = parser.pointee.head.byteCount
                return event
            case .body(let cut):
                if cut.offset > bodyEnd { move(from: cut.offset, to: bodyEnd, count: cut.count) }
                bodyEnd += cut.count
            case .needMore, .end, .refused:
                return event
            }
        }
    }

    private func move(from: Int, to: Int, count: Int) {
        guard count > 0, let base = memory.baseAddress else { return }
        precondition(start + from + count <= end && to <= from)
        (base + start + to).copyMemory(from: base + start + from, byteCount: count)
    }

    /// Gives the present request's head, all its bytes and its body.
    package func withRequest(_ body: (_ head: borrowing RequestHead, _ bytes: RawSpan, _ body: RawSpan) -> Void) {
        let bytes = UnsafeRawBufferPointer(rebasing: memory[start..<end])
        let headEnd = min(parser.pointee.head.byteCount, bytes.count)
        body(
            parser.pointee.head, bytes.bytes,
            UnsafeRawBufferPointer(rebasing: bytes[headEnd..<max(headEnd, min(bodyEnd, bytes.count))]).bytes)
    }

    /// What has come of the present request.
    func withBytes(_ body: (RawSpan) -> Void) {
        body(UnsafeRawBufferPointer(rebasing: memory[start..<end]).bytes)
    }

    /// Goes on to the request behind the one that has ended.
    package func advance() {
        start = min(end, start + parser.pointee.position)
        bodyEnd = 0
        parser.pointee.reset()
        if start == end {
            start = 0
            end = 0
        }
    }

    /// Forgets everything.
    package func clear() {
        start = 0
        end = 0
        bodyEnd = 0
        parser.pointee.reset()
    }

    /// Moves the present request to the front, and takes out what chunk framing has left behind its body.
    package func compact() {
        if isInBody, case .chunked = parser.pointee.head.framing {
            let gap = parser.pointee.keptFrom - bodyEnd
            if gap > 0 {
                move(from: parser.pointee.keptFrom, to: bodyEnd, count: count - parser.pointee.keptFrom)
                end -= gap
                parser.pointee.shift(by: gap)
            }
        }
        if start > 0, let base = memory.baseAddress {
            base.copyMemory(from: base + start, byteCount: count)
            end -= start
            start = 0
        }
    }

    /// Takes over what another buffer holds, its parser's state included, and leaves that one empty.
    package func takeOver(_ other: RequestBuffer) {
        precondition(other.count <= capacity)
        if let base = memory.baseAddress, let source = other.memory.baseAddress {
            base.copyMemory(from: source + other.start, byteCount: other.count)
        }
        start = 0
        end = other.count
        bodyEnd = other.bodyEnd
        swap(&parser, &other.parser)
        other.clear()
    }

    package func grow(to capacity: Int) {
        precondition(capacity >= count)
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
        if let base = larger.baseAddress, let source = memory.baseAddress {
            base.copyMemory(from: source + start, byteCount: count)
        }
        memory.deallocate()
        memory = larger
        end -= start
        start = 0
    }
}
