#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// The part that all examples share, beside the database.
package enum Service {
    /// The value of an environment variable; the default where it is missing or empty.
    package static func environment(_ name: String, default standard: String) -> String {
        let value = ProcessInfo.processInfo.environment[name] ?? ""
        return value.isEmpty ? standard : value
    }
}
