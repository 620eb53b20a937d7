import Testing

@testable import smsbridge

struct GroupRewindTests {
    @Test(
        arguments: [
            // before, asked, moved, forced, forced with types
            (10, 50, 10, 50, 50), (50, 10, 10, 10, 10), (50, 50, 50, 50, 50), (nil, 50, nil, nil, 50),
        ] as [(Int64?, Int64, Int64?, Int64?, Int64?)])
    func aGroupIsMovedBackOnly(_ row: (before: Int64?, asked: Int64, moved: Int64?, forced: Int64?, ofTypes: Int64?)) {
        func place(isForced: Bool, isOfTypes: Bool) -> Int64? {
            GroupRewind.Rule(isForced: isForced, isOfTypes: isOfTypes).offset(before: row.before, asked: row.asked)
        }
        #expect(place(isForced: false, isOfTypes: false) == row.moved)
        #expect(place(isForced: false, isOfTypes: true) == row.moved)
        #expect(place(isForced: true, isOfTypes: false) == row.forced)
        #expect(place(isForced: true, isOfTypes: true) == row.ofTypes)
    }
}
