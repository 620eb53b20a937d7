/// Something that is wrong, or worth knowing, and what to do about it.
struct StatusFinding {
    enum Severity: Int, Comparable, CaseIterable {
        case notice, warning, critical

        static func < (left: Severity, right: Severity) -> Bool { left.rawValue < right.rawValue }

        /// As the alert rules have it.
        var name: String {
            switch self {
            case .notice: "info"
            case .warning: "warning"
            case .critical: "critical"
            }
        }
    }

    /// The alert of deploy/prometheus/alerts.yml, and the entry of docs/runbook.md; nil where nobody is called for it.
    let alert: String?
    let severity: Severity
    /// What is wrong, a sentence.
    let title: String
    /// What to do.
    let advice: String
}
