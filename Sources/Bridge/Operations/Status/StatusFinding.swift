/// A problem or a notice, with advice.
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

    /// The alert of deploy/prometheus/alerts.yml, and the entry of docs/runbook.md; nil without an alert rule.
    let alert: String?
    let severity: Severity
    /// The problem in one sentence.
    let title: String
    /// The action to take.
    let advice: String
}
