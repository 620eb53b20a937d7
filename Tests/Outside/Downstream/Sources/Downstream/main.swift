import SMSPortalEvents

/// What a downstream service does with a record that it consumed: here one that the library itself made of a callback.
func react(to record: EventRecord) throws -> Bool {
    switch try Event(value: record.value, headers: record.headers) {
    case .reply(let reply):
        let when = reply.occurredAt?.rfc3339 ?? "?"
        print("\(reply.msisdn ?? "?") wrote \"\(reply.text)\" at \(when), opt-out: \(reply.isOptOut)")
        return reply.isOptOut && reply.text == "Stop" && reply.msisdn == "27000000002"
            && when.hasPrefix("2025-01-01T08:00:00")
    case let other:
        print("not a reply: \(other)")
        return false
    }
}

let callback = Callback(
    method: .post, route: .reply, contentType: "application/json",
    body: #"{"Id":9007199254740993,"Msisdn":"27000000002","Message":"Stop","Received":1735718400}"#)
let event = try Event(callback: callback, receivedAt: EventTime(millisecondsSinceEpoch: 1_735_718_401_000))
let record = event.record()
let understood = try react(to: record)
let sameBytes = try Event(record: record).record() == record
print(understood && sameBytes ? "decoded" : "understood: \(understood), the same bytes: \(sameBytes)")
