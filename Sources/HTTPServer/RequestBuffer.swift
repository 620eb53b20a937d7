/// Bytes of requests that are being read, and the parser that reads them.
///
/// The server has a large one into which every connection reads first. A connection gets one of its own only while
/// something is left in it: a request that is not whole, or requests behind one that waits for its answer.
package final class RequestBuffer {
    private var memory: UnsafeMutableRawBufferPointer
    /// Where the request that is being read begins.
    package private(set) var start = 0
    /// Where the bytes that have come end.
    package private(set) var end = 0
    /// Where, from `start`, the body read so far ends: behind the head.
    private var bodyEnd = 0
    package var parser: RequestParser

    package init(capacity: Int, limits: RequestParser.Limits) {
        memory = .allocate(byteCount: capacity, alignment: 16)
        parser = RequestParser(limits: limits)
    }

    deinit {
        memory.deallocate()
    }

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
            let event = parser.next(UnsafeRawBufferPointer(rebasing: memory[start..<end]).bytes)
            switch event {
            case .head:
                bodyEnd = parser.head.byteCount
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
        let headEnd = min(parser.head.byteCount, bytes.count)
        body(
            parser.head, bytes.bytes,
            UnsafeRawBufferPointer(rebasing: bytes[headEnd..<max(headEnd, min(bodyEnd, bytes.count))]).bytes)
    }

    /// Goes on to the request behind the one that has ended.
    package func advance() {
        start = min(end, start + parser.position)
        bodyEnd = 0
        parser.reset()
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
        parser.reset()
    }

    /// Moves the present request to the front, and takes out what chunk framing has left behind its body.
    package func compact() {
        if parser.isInBody, case .chunked = parser.head.framing {
            let gap = parser.keptFrom - bodyEnd
            if gap > 0 {
                move(from: parser.keptFrom, to: bodyEnd, count: count - parser.keptFrom)
                end -= gap
                parser.shift(by: gap)
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
