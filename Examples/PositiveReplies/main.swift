// Calls back who has answered yes. The desk of this example prints whom it would call; put yours in its place.
import SMSBridgeExampleSupport

struct PrintingDesk: CallBackDesk {
    func callBack(_ msisdn: String, about text: String, reference: String) async throws {
        print("call back …\(msisdn.suffix(3)) (\(reference))")
    }
}

let replies = PositiveReplies(desk: PrintingDesk())
await Service.run(replies.consumer(Service.configuration(group: "positive-replies")))
