/// Reads the variables that begin with `SMSBRIDGE_` into a draft. An empty one counts as not set.
struct EnvironmentReader {
    static let prefix = "SMSBRIDGE_"

    let environment: [String: String]

    private static let byName = Dictionary(uniqueKeysWithValues: Declaration.all.map { ($0.environmentName, $0) })

    mutating func read(into draft: inout Draft) {
        var links: [String] = []
        var given: Set<String> = []
        var properties: [(name: Located, value: Located)] = []
        var propertyFiles: [(name: Located, value: Located)] = []
        let propertyPrefix = (Declaration.named("kafka.properties")?.environmentName ?? "") + "_"
        for (name, value) in environment.sorted(by: { $0.key < $1.key })
        where name.hasPrefix(Self.prefix) && name != SettingsLoader.configVariable && !value.isEmpty {
            let place = SettingPlace.environment(name)
            let declaration = Self.byName[name]
            if Self.isServiceLink(name, value, isKnown: declaration != nil) {
                links.append(name)
                if let declaration {
                    draft.warnings.append(
                        "\(place): ignored for \(declaration.key): Kubernetes injected it for a service of that name; set enableServiceLinks: false, or rename the service"
                    )
                }
            } else if name.hasPrefix(propertyPrefix) {
                var property = String(name.dropFirst(propertyPrefix.count)).lowercased().replacing("_", with: ".")
                if property.hasSuffix(".file"), KafkaProperties.secretNames.contains(String(property.dropLast(5))) {
                    property.removeLast(5)
                    propertyFiles.append((Located(text: property, place: place), Located(text: value, place: place)))
                } else {
                    properties.append((Located(text: property, place: place), Located(text: value, place: place)))
                }
            } else if let declaration {
                guard draft.uses(declaration) else { continue }
                if declaration.hasEntryNames {
                    draft.wrong(
                        declaration.key, place,
                        "each property has a variable of its own, such as \(propertyPrefix)SECURITY_PROTOCOL")
                    continue
                }
                given.insert(declaration.key)
                draft.store(declaration, texts: [Located(text: value, place: place)], place: place)
            } else {
                let near = nearest(to: name).map { ": did you mean \($0)?" } ?? ""
                draft.warnings.append("\(place): unknown, ignored\(near)")
            }
        }
        for declaration in Declaration.all where draft.uses(declaration) {
            let isProperties = declaration.key == "kafka.properties"
            let isFiles = declaration.key == "kafka.propertyFiles"
            let entries = isProperties ? properties : isFiles ? propertyFiles : []
            if let first = entries.first { declaration.store(.map(entries, first.value.place), &draft) }
        }
        for file in propertyFiles {
            guard let value = properties.first(where: { $0.name.text == file.name.text }) else { continue }
            draft.wrong(
                "kafka.properties.\(value.name.text)", value.value.place,
                "give either this or \(Self.variable(file.value.place)), not both")
        }
        for (value, file) in Declaration.pairs where given.contains(value) && given.contains(file) {
            let names = [value, file].map { Declaration.named($0)?.environmentName ?? "" }
            draft.wrong(value, .environment(names[0]), "give either \(names[0]) or \(names[1]), not both")
        }
        if !links.isEmpty {
            draft.warnings.append(
                "environment: ignored \(links.count) variables that Kubernetes injected for services (service links): "
                    + links.joined(separator: ", "))
        }
    }

    private static func variable(_ place: SettingPlace) -> String {
        if case .environment(let name) = place { name } else { "the other" }
    }

    private func nearest(to name: String) -> String? {
        let names = Declaration.all.map(\.environmentName) + [SettingsLoader.configVariable]
        if let near = nearestName(to: name, among: names) { return near }
        let key = name.dropFirst(Self.prefix.count).replacing("_", with: ".")
        return Declaration.all.first { declaration in
            declaration.synonyms.contains { $0.lowercased() == key.lowercased() }
        }?.environmentName
    }

    /// Names and values that Kubernetes sets for each service of the namespace: `<NAME>_SERVICE_HOST`,
    /// `<NAME>_SERVICE_PORT[_<PORT>]`, `<NAME>_PORT` = `tcp://…`, `<NAME>_PORT_<n>_TCP[_PROTO|_PORT|_ADDR]`.
    ///
    /// Source: kubernetes.io/docs/tutorials/services/connect-applications-service (environment variables).
    static func isServiceLink(_ name: String, _ value: String, isKnown: Bool) -> Bool {
        let isURL = ["tcp://", "udp://", "sctp://"].contains { value.hasPrefix($0) }
        if name.hasSuffix("_PORT") && isURL { return true }
        if isKnown { return false }
        if name.hasSuffix("_SERVICE_HOST") || name.hasSuffix("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
            return true
        }
        var words = name.split(separator: "_")[...]
        if let last = words.last, ["PROTO", "PORT", "ADDR"].contains(last) { words.removeLast() }
        guard let kind = words.popLast(), ["TCP", "UDP", "SCTP"].contains(kind), let port = words.popLast(),
            UInt16(port) != nil
        else { return false }
        return words.last == "PORT"
    }
}
