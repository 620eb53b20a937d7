import SMSBridgeTestSupport
import Testing

@testable import SMSBridgeHTTPServer

@Suite("Idle list")
struct IdleListTests {
    @Test("it is a queue from which any slot can be taken", arguments: [1, 2, 3] as [UInt64])
    func model(seed: UInt64) {
        var numbers = SeededRandom(seed: seed)
        var list = IdleList()
        var model: [Int] = []
        for _ in 0..<20_000 {
            let slot = Int.random(in: 0..<40, using: &numbers)
            if Int.random(in: 0..<3, using: &numbers) > 0 {
                list.append(slot)
                model.removeAll { $0 == slot }
                model.append(slot)
            } else {
                list.remove(slot)
                model.removeAll { $0 == slot }
            }
            #expect(list.longest == model.first && list.count == model.count, "seed \(seed)")
        }
        while let slot = list.longest {
            #expect(slot == model.removeFirst())
            list.remove(slot)
        }
        #expect(model.isEmpty && list.count == 0)
    }
}
