import SMSPortalEvents
import Testing

/// The schemas say no where they should; that records satisfy them, every other test checks.
@Suite struct SchemaTests {
    @Test(arguments: [
        (#""type":"reply""#, #""type":"url-click""#), (#""text":"Hi""#, #""text":5"#),
        (#""text":"Hi""#, #""txt":"Hi""#),
        (#""text":"Hi""#, #""text":"Hi","optOut":false"#), (#""text":"Hi""#, #""text":"Hi","colour":"blue""#),
        (#""method":"POST""#, #""method":"PUT""#), (#""body":"#, #""bodyBase64":"AAAA","body":"#),
        (#""account":"default""#, #""account":"a b""#), (#"50:26.123Z""#, #"50:26Z""#),
        (#""idBasis":"vendor""#, #""idBasis":"x""#),
        (#""network":{"#, #""network":{"band":"5G","#), (#""id":""#, #""id":"0"#), (#""raw":"#, #""roh":"#),
        (#""messageId":"7""#, #""messageId":7"#), (#""contentType":""#, #""contentType":"\u0001"#),
    ])
    func whatIsWrongIsRefused(_ good: String, _ bad: String) throws {
        let callback = Callback(
            method: .post, route: .reply, contentType: "text/plain",
            body: #"{"incomingId":7,"incomingData":"Hi","mcc":655,"phoneNumber":"27123456789"}"#)
        let value = try Event(callback: callback, receivedAt: reception).record().value
        let validator = try SchemaValidator(type: "reply")
        #expect(validator.problems(of: try JSONValue(value)).isEmpty)
        let text = String(decoding: value, as: UTF8.self)
        let changed = try #require(text.firstRange(of: good).map { text.replacingCharacters(in: $0, with: bad) })
        #expect(!validator.problems(of: try JSONValue(Array(changed.utf8))).isEmpty)
    }
}

extension String {
    fileprivate func replacingCharacters(in range: Range<String.Index>, with text: String) -> String {
        self[..<range.lowerBound] + text + self[range.upperBound...]
    }
}
