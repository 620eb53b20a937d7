import Foundation
import SMSPortalConsumer
import Testing

struct DateTests {
    @Test(arguments: [0, 1, -1, 1_767_254_400_123, 253_402_300_799_999, -62_167_219_200_000] as [Int64])
    func aTimeSurvivesADate(_ milliseconds: Int64) {
        let time = EventTime(millisecondsSinceEpoch: milliseconds)
        #expect(EventTime(time.date) == time)
    }

    @Test func aDateBeyondIsTheNearestMoment() {
        #expect(EventTime(.distantFuture) <= EventTime(millisecondsSinceEpoch: .max))
        #expect(EventTime(Date(timeIntervalSince1970: .infinity)) == EventTime(millisecondsSinceEpoch: .max))
        #expect(EventTime(Date(timeIntervalSince1970: -1e300)) == EventTime(millisecondsSinceEpoch: .min))
    }

    @Test func positionsTakeDates() {
        let date = Date(timeIntervalSince1970: 1_767_254_400.5)
        let position = EventConsumer.Configuration.Position.at(date)
        #expect(position == .at(EventTime(millisecondsSinceEpoch: 1_767_254_400_500)))
        #expect(Replay.Position.time(date) == .time(EventTime(date)))
    }

    @Test func anOptOutIsPrintedWithoutTheSubscriber() throws {
        let callback = Callback(method: .get, route: .reply, query: "Id=1&Msisdn=27821234567&Message=Stop", body: "")
        let event = try Event(callback: callback, receivedAt: EventTime(millisecondsSinceEpoch: 0))
        let optOut = try #require(OptOut(event))
        var dumped = ""
        dump(optOut, to: &dumped)
        for text in ["\(optOut)", String(reflecting: optOut), dumped] {
            #expect(!text.contains("27821234567") && !text.contains("Stop"), "\(text)")
        }
    }
}
