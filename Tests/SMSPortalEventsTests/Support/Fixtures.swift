import Foundation
import SMSPortalEvents
import Testing

/// A callback of the vendor's and what it must become: Tests/Fixtures/callbacks.json.
struct Fixture: CustomTestStringConvertible, Sendable {
    let name: String
    let callback: Callback
    let topic: String
    let type: String
    let key: String?
    let idBasis: String
    /// Fields of the value and what they must be, as JSON.
    let fields: [String: JSONValue]

    var testDescription: String { name }

    static let all: [Fixture] = {
        let file = repository.appendingPathComponent("Tests/Fixtures/callbacks.json")
        guard let bytes = try? [UInt8](Data(contentsOf: file)), let list = try? JSONValue(bytes).array else {
            return []
        }
        return list.compactMap(Fixture.init)
    }()

    static func named(_ name: String) -> Fixture? { all.first { $0.name == name } }

    private init?(_ json: JSONValue) {
        guard let name = json["name"]?.string, let method = json["method"]?.string.flatMap(CallbackMethod.init),
            let contentType = json["contentType"]?.string, let query = json["query"]?.string,
            let body = Self.body(json), let expected = json["expect"], let topic = expected["topic"]?.string,
            let type = expected["type"]?.string, let idBasis = expected["idBasis"]?.string,
            let fields = expected["fields"]?.object
        else { return nil }
        self.name = name
        callback = Callback(
            method: method, route: json["route"]?.string.flatMap(EventType.init(rawValue:)), contentType: contentType,
            contentEncoding: json["contentEncoding"]?.string ?? "", query: Array(query.utf8), body: body)
        self.topic = topic
        self.type = type
        key = expected["key"]?.string
        self.idBasis = idBasis
        self.fields = fields
    }

    private static func body(_ json: JSONValue) -> [UInt8]? {
        if let base64 = json["bodyBase64"]?.string { return Data(base64Encoded: base64).map { [UInt8]($0) } }
        return json["body"]?.string.map { Array($0.utf8) }
    }
}
