import SMSBridgeTestSupport
import Testing

@testable import SMSBridgeIngress

/// A parameter that some program would read as the secret is in no record, in whatever spelling and wherever it is.
@Suite struct SecretCutTests {

    private static let marker = "marker-of-a-secret-0123456789"

    private static func escaped(_ text: String, _ random: inout SeededRandom, always: Bool = false) -> String {
        text.utf8.map { byte in
            let isEscaped = always || Int.random(in: 0..<4, using: &random) == 0
            let hex = String(byte, radix: 16, uppercase: Bool.random(using: &random))
            return isEscaped ? "%" + (hex.count < 2 ? "0" + hex : hex) : String(UnicodeScalar(byte))
        }.joined()
    }

    private static func decoded(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The parameter in one of its spellings.
    private static func secret(_ random: inout SeededRandom) -> String {
        let letters = "secret".map { Bool.random(using: &random) ? $0.uppercased() : String($0) }.joined()
        let before = ["", "", "", "%20", "?", "+", "$"].randomElement(using: &random) ?? ""
        let behind =
            ["", "", "", "[]", "[0]", "%5B%5D", "%5b1%5d", "%20", ".x", "%00", "[a][b]"].randomElement(using: &random)
            ?? ""
        let value = escaped(marker, &random)
        return before + escaped(letters, &random) + behind + "=" + value
    }

    @Test func noSpellingOfTheSecretIsRecorded() throws {
        let server = try GuardedServer {
            $0.authentication.isEnforced = false
            $0.authentication.accounts = [AccountSecrets()]
            $0.authentication.accounts[0].header = [Array(Self.marker.utf8)]
        }
        defer { server.stop() }
        for seed in UInt64(1)...300 {
            var random = SeededRandom(seed: seed)
            /// Parameters with the secret at a position among them.
            func parameters(_ isCut: Bool) -> String {
                var parts = RawRequest.parameters.split(separator: "&").map(String.init)
                guard isCut else { return parts.joined(separator: "&") }
                let position = Int.random(in: 0...parts.count, using: &random)
                // Behind a semicolon it follows another parameter, whose value ends there.
                if position > 0, Bool.random(using: &random) {
                    parts[position - 1] += ";" + Self.secret(&random)
                } else {
                    parts.insert(Self.secret(&random), at: position)
                }
                return parts.joined(separator: "&")
            }
            let isForm = Bool.random(using: &random)
            let isInBoth = isForm && Bool.random(using: &random)
            let type = ["application/x-www-form-urlencoded", "text/plain", "application/json"].randomElement(
                using: &random)
            let request =
                isForm
                ? RawRequest(
                    target: "/webhooks/delivery-status" + (isInBoth ? "?x=1;\(Self.secret(&random))" : ""),
                    headers: ["Content-Type: \(type ?? "")"], body: parameters(true))
                : RawRequest(method: "GET", target: "/webhooks/delivery-status?" + parameters(true), body: "")
            let before = server.values.count
            let outcome = try server.send(request.bytes)
            #expect(outcome.statuses == [200], "seed \(seed): \(outcome)")
            let values = server.values[before...]
            #expect(values.count == 1)
            for value in values {
                #expect(!Self.decoded(value).contains(Self.marker), "seed \(seed): \(value)")
                #expect(value.contains("\"state\":\"delivered\""), "seed \(seed), what else came is kept: \(value)")
                #expect(value.contains("27830123456") && value.contains("32433326"), "seed \(seed): \(value)")
            }
        }
    }

    /// What only resembles it is a parameter of the caller's, and stays.
    @Test(arguments: [
        "secrets=1", "secre=1", "topsecret=1", "secret_question=1", "secret-santa=1", "my.secret=1", "s%D0%B5cret=1",
        "text=secret", "text=secret%3D1", "text=a%3Bsecret%3D1", "text=a%26secret%3D1",
    ])
    func otherParametersStay(parameter: String) {
        let query = Array("a=1&\(parameter)&b=2".utf8)
        var secret = QuerySecret()
        secret.scan(query.span.bytes)
        #expect(!secret.wasFound)
        secret.scan(form: query.span.bytes)
        #expect(!secret.wasFound)
    }

    @Test func aBodyThatIsTheWordIsAText() {
        var secret = QuerySecret()
        for text in ["secret", "Secret;", "it is secret & mine"] {
            secret.scan(form: Array(text.utf8).span.bytes)
            #expect(!secret.wasFound, "\(text)")
        }
    }

    /// Only the parameter itself between `&`s is a proof; the rest of what is cut proves nothing.
    @Test(
        arguments: [
            ("secret=x", "x", ""), ("a=1&secret=x&b=2", "x", "a=1&b=2"), ("a=1;secret=x;b=2", nil, "a=1;b=2"),
            ("secret[]=x&b=2", nil, "b=2"), ("a;secret=y&secret=x", "x", "a"), ("secret=x;b=2&c=3", "x;b=2", "c=3"),
            ("%53ecret=%78", "x", ""), ("+secret=x&b", nil, "b"), ("secret", "", ""), ("&secret=x&", "x", ""),
        ] as [(String, String?, String)])
    func theProofIsTheParameterItself(query: String, proof: String?, remainder: String) {
        let query = Array(query.utf8)
        var secret = QuerySecret()
        secret.scan(query.span.bytes)
        #expect(secret.wasFound)
        #expect(secret.hasProof == (proof != nil) && !secret.isRepeated)
        if let proof { #expect(String(decoding: secret.value, as: UTF8.self) == proof) }
        #expect(String(decoding: secret.remainder, as: UTF8.self) == remainder)
    }
}
