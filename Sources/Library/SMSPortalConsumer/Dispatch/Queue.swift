/// First in, first out, in a ring that grows.
struct Queue<Element> {
    private var ring: [Element?] = Array(repeating: nil, count: 64)
    private var head = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }
    var first: Element? { count == 0 ? nil : ring[head] }

    mutating func append(_ element: Element) {
        if count == ring.count {
            var larger: [Element?] = []
            larger.reserveCapacity(ring.count * 2)
            for index in 0..<count { larger.append(ring[(head + index) & (ring.count - 1)]) }
            larger.append(contentsOf: repeatElement(nil, count: ring.count))
            ring = larger
            head = 0
        }
        ring[(head + count) & (ring.count - 1)] = element
        count += 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        defer {
            ring[head] = nil
            head = (head + 1) & (ring.count - 1)
            count -= 1
        }
        return ring[head]
    }
}
