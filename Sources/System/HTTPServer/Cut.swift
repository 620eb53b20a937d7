/// A piece of bytes that are given alongside: where it begins in them, and how long it is.
package struct Cut: Sendable, Hashable {
    package var offset: Int
    package var count: Int

    package init(offset: Int, count: Int) {
        self.offset = offset
        self.count = count
    }

    /// The offset just behind the piece.
    package var end: Int { offset + count }
    package var isEmpty: Bool { count == 0 }
}
