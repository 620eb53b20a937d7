import SMSBridgeKafka
import Testing

@Suite struct ClientConfigurationTests {
    @Test func aClientIsCalledAsThePropertiesSay() throws {
        for (properties, name) in [([:], "smsbridge#"), (["client.id": "bridge-7"], "bridge-7#")] {
            let client = try Client.silent(
                ClientConfiguration(bootstrapServers: "127.0.0.1:1", properties: properties))
            #expect(client.name.hasPrefix(name), "\(client.name)")
            client.destroy()
        }
    }

    @Test func propertiesWithoutAValueAreKnown() {
        let names = LibRDKafka.propertyNames
        for name in ["sasl.password", "sasl.username", "ssl.ca.location", "ssl.key.password", "security.protocol"] {
            #expect(names.contains(name), "\(name)")
        }
        #expect(Set(names).count == names.count)
        let unknown = ClientConfiguration(
            bootstrapServers: "", properties: Dictionary(uniqueKeysWithValues: names.map { ($0, "") })
        ).propertyProblems().filter { $0.problem.contains("no such property") }
        #expect(unknown.isEmpty, "\(unknown)")
    }

    @Test func aNewPasswordIsUsedFromTheNextConnectionOn() throws {
        let broker = try LoginListener()
        var properties = [
            "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "me",
            "sasl.password": "old", "reconnect.backoff.ms": "10",
            "reconnect.backoff.max.ms": "50",
        ]
        let client = try Client.silent(
            ClientConfiguration(bootstrapServers: "127.0.0.1:\(broker.port)", properties: properties))
        defer { client.destroy() }
        // A request without a response makes it connect.
        let ask = { _ = try? client.metadata(timeout: 100) }
        #expect(broker.receivesLogin(user: "me", password: "old", trigger: ask))
        properties["sasl.password"] = "new"
        try client.useCredentials(of: ClientConfiguration(bootstrapServers: "", properties: properties))
        #expect(broker.receivesLogin(user: "me", password: "new", trigger: ask))
        // Without a login in the configuration it keeps the one it has.
        try client.useCredentials(of: ClientConfiguration(bootstrapServers: ""))
        #expect(broker.receivesLogin(user: "me", password: "new", trigger: ask))
    }
}
