/// Memory in which an answer is put together, used again for the next.
final class AnswerBuffer {
    private var memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
    private var count = 0

    deinit { memory.deallocate() }

    /// Everything appended; void after the next change.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

    /// Empties it and makes room for so many bytes.
    func removeAll(reserving capacity: Int) {
        count = 0
        guard capacity > memory.count else { return }
        memory.deallocate()
        memory = .allocate(byteCount: capacity, alignment: 16)
    }

    func append(_ byte: UInt8) {
        precondition(count < memory.count)
        memory.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { append($0) }
    }

    func append(_ bytes: [UInt8], _ range: some RangeExpression<Int>) {
        bytes.withUnsafeBytes { append(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    @inline(__always)
    private func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        precondition(bytes.count <= memory.count &- count)
        (memory.baseAddress.unsafelyUnwrapped + count).copyMemory(from: source, byteCount: bytes.count)
        count &+= bytes.count
    }
}
