// Counts campaigns in the SQLite database that DATABASE names, and prints a line for each at its end. Prices come from
// COST_PER_MESSAGE, VALUE_PER_REPLY and VALUE_PER_CLICK.
import SMSBridgeExampleSupport
import SMSPortalConsumer

func price(_ name: String, _ standard: String) -> Double { Double(Service.environment(name, default: standard)) ?? 0 }
func percent(_ share: Double) -> String { "\((share * 1_000).rounded() / 10) %" }

let prices = CampaignStatistics.Prices(
    costPerMessage: price("COST_PER_MESSAGE", "0.20"), valuePerReply: price("VALUE_PER_REPLY", "0"),
    valuePerClick: price("VALUE_PER_CLICK", "0"))
let statistics = try CampaignStatistics(Service.environment("DATABASE", default: "campaigns.sqlite"))
await statistics.consumer(.fromEnvironment(group: "campaign-statistics")).runOrExit()
for campaign in try await statistics.campaigns() {
    let report = try await statistics.report(on: campaign)
    let roi = report.roi(prices).map(percent) ?? "-"
    print(
        "\(campaign): \(report.messages) messages, delivered \(percent(report.deliveryRate)), "
            + "replied \(percent(report.replyRate)), clicked \(percent(report.clickRate)), ROI \(roi)")
}
