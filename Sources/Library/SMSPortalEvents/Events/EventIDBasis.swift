/// What an event id was made from, and so when two callbacks have the same one.
public enum EventIDBasis: String, Sendable, CaseIterable, Hashable {
    /// The vendor's own id: of the message, with its status; of the reply; of the message to a short code. The same
    /// event in two generations of callbacks has one id.
    case vendor
    /// No id, but a time of the vendor's: all parameters unchanged. Two events alike in every parameter within one
    /// second are one.
    case fields
    /// Neither: the id is random, and a repeat of the callback has another.
    case reception

    var name: StaticString {
        switch self {
        case .vendor: "vendor"
        case .fields: "fields"
        case .reception: "reception"
        }
    }
}
