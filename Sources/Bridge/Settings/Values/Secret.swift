/// A value that must not be seen: it is `…` wherever it is printed, dumped or interpolated.
package struct Secret: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The value itself. Hand it to what needs it, and to nothing that prints.
    package let exposed: String

    package init(_ value: String) { exposed = value }

    package var description: String { "…" }
    package var debugDescription: String { "…" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
