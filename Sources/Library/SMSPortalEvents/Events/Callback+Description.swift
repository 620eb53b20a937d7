extension Callback: CustomStringConvertible, CustomReflectable {
    /// What a callback consists of, and nothing of its content: `POST /webhooks/reply, 0 bytes of query, 118 bytes of body`.
    public var description: String {
        "\(method.rawValue) \(path), \(query.count) bytes of query, \(body.count) bytes of body"
    }

    /// What ``description`` shows.
    public var customMirror: Mirror {
        Mirror(self, children: ["method": method, "path": path, "query": query.count, "body": body.count])
    }
}

extension Callback.Parameter: CustomStringConvertible, CustomReflectable {
    /// The name and the length of the value.
    public var description: String { "\(name) (\(value.map { "\($0.utf8.count) bytes" } ?? "null"))" }

    /// What ``description`` shows.
    public var customMirror: Mirror { Mirror(self, children: ["name": name, "bytes": value?.utf8.count as Any]) }
}

extension EventRecord: CustomStringConvertible, CustomReflectable {
    /// What a record consists of, and nothing of its content: `reply record of 812 bytes at 2026-11-23T17:50:26.123Z`.
    public var description: String { "\(topic) record of \(value.count) bytes at \(timestamp)" }

    /// What ``description`` shows.
    public var customMirror: Mirror {
        Mirror(self, children: ["topic": topic, "value": value.count, "timestamp": "\(timestamp)"])
    }
}
