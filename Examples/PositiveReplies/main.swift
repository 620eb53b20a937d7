// Calls back who has answered yes. The desk of this example prints whom it would call; put yours in its place.
import SMSPortalConsumer

struct PrintingDesk: CallBackDesk {
    func callBack(_ msisdn: String, about text: String, reference: String) async throws {
        print("call back …\(msisdn.suffix(3)) (\(reference))")
    }
}

let replies = PositiveReplies(desk: PrintingDesk())
await replies.consumer(.fromEnvironment(group: "positive-replies")).runOrExit()
