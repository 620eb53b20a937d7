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

    @Test func aClientTakesANewUserNameAndPassword() throws {
        let login = ["security.protocol": "SASL_PLAINTEXT", "sasl.username": "me", "sasl.password": "old"]
        for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
            var properties = login
            properties["sasl.mechanism"] = mechanism
            let client = try Client.silent(ClientConfiguration(bootstrapServers: "127.0.0.1:1", properties: properties))
            defer { client.destroy() }
            properties["sasl.password"] = "new"
            try client.useCredentials(of: ClientConfiguration(bootstrapServers: "", properties: properties))
        }
    }

    @Test func aClientWithoutALoginGetsNone() throws {
        let configuration = ClientConfiguration(bootstrapServers: "127.0.0.1:1")
        let client = try Client.silent(configuration)
        defer { client.destroy() }
        try client.useCredentials(of: configuration)
    }
}
