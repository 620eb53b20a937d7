import Foundation
import SMSPortalEvents
import Synchronization
import Testing

@testable import SMSPortalSimulator

@Suite(.timeLimit(.minutes(1))) struct SimulatorTests {
    /// A configuration for these tests: as fast as possible, with a back-off of 10 ms, one type, one generation.
    private func configuration(
        _ url: String, count: UInt64 = 1, _ generation: CallbackGeneration = .v2POST
    ) -> SimulatorConfiguration {
        var configuration = SimulatorConfiguration(url: url)
        configuration.rate = 0
        configuration.count = count
        configuration.generations = [generation]
        configuration.types = [.deliveryStatus]
        configuration.backoff = .milliseconds(10)
        return configuration
    }

    private func balances(_ report: SimulatorReport) -> Bool {
        report.sent == report.accepted + report.givenUp + report.refusedForGood + report.abandoned
            && report.failure == nil
    }

    // MARK: What is received

    @Test func everyTypeAndGenerationArrivesAsGenerated() async throws {
        let server = try TinyServer { _ in .answer(200) }
        defer { server.stop() }
        var configuration = SimulatorConfiguration(url: server.url + "/base/webhooks/")
        configuration.rate = 0
        configuration.count = 60
        configuration.clients = 1
        configuration.seed = 11
        let sent = Mutex<[SimulatedCallback]>([])
        let report = await run(
            try Simulator(configuration),
            outcome: { callback, outcome, status in
                #expect(outcome == .accepted && status == 200)
                sent.withLock { $0.append(callback) }
            })
        #expect(report.sent == 60 && report.accepted == 60 && report.requests == 60 && balances(report))
        #expect(report.byStatus == [200: 60])
        #expect(report.p50 > 0 && report.p50 <= report.p99 && report.p99 <= report.max)
        #expect(server.connections == 1, "one client is one connection, kept open")
        let requests = server.requests
        let callbacks = sent.withLock { $0 }
        for (request, callback) in zip(requests, callbacks) {
            #expect(request.method == callback.method.rawValue)
            #expect(request.target == "/base\(callback.path)" + (callback.query.isEmpty ? "" : "?\(callback.query)"))
            #expect(request.body == callback.body)
            #expect(request.headers["content-type"] == callback.contentType)
            #expect(request.headers["expect"] == nil)
        }
        #expect(Set(callbacks.map { "\($0.eventType)\($0.generation)" }).count == 30)
    }

    @Test func secretsTravelWhereTheyAreAskedFor() async throws {
        let server = try TinyServer { _ in .answer(204, body: "") }
        defer { server.stop() }
        var configuration = configuration(server.url, count: 2, .v1GET)
        configuration.authentication = SimulatorAuthentication(
            headerName: "X-Mine", headerSecret: "s3cret value", pathSecret: "p-ath", querySecret: "q&=+ é")
        #expect(!"\(configuration)".contains("p-ath") && !"\(configuration)".contains("s3cret"))
        var dumped = ""
        dump(configuration, to: &dumped)
        #expect(!dumped.contains("p-ath") && !dumped.contains("s3cret"))
        let report = await run(try Simulator(configuration))
        #expect(report.accepted == 2)
        for request in server.requests {
            #expect(request.headers["x-mine"] == "s3cret value")
            #expect(request.target.hasPrefix("/webhooks/p-ath/delivery-status?ID="))
            #expect(request.target.hasSuffix("&secret=q%26%3D%2B+%C3%A9"))
        }
    }

    @Test(arguments: [200, 201, 202, 204, 299]) func any2xxIsReceived(status: Int) async throws {
        let server = try TinyServer { _ in .answer(status, body: status == 204 ? "" : "thanks") }
        defer { server.stop() }
        let report = await run(try Simulator(configuration(server.url)))
        #expect(report.accepted == 1 && report.requests == 1 && report.byStatus == [status: 1])
    }

    // MARK: What is not

    @Test(arguments: [301, 302, 307, 308, 400, 401, 404, 413, 429, 500, 503]) func anythingElseIsSentFiveTimes(
        status: Int
    )
        async throws
    {
        let server = try TinyServer { _ in .answer(status, ["Location": "/elsewhere"]) }
        defer { server.stop() }
        let report = await run(try Simulator(configuration(server.url)))
        #expect(report.givenUp == 1 && report.accepted == 0 && report.retried == 4 && report.requests == 5)
        #expect(report.byStatus == [status: 5] && balances(report))
        #expect(server.requests.count == 5)
        #expect(!server.requests.contains { $0.target.contains("elsewhere") }, "a redirect is not followed")
        #expect(Set(server.requests.map(\.body)).count == 1, "the same callback each time")
    }

    @Test func theBackoffDoubles() async throws {
        let server = try TinyServer { _ in .answer(500) }
        defer { server.stop() }
        var configuration = configuration(server.url)
        configuration.backoff = .milliseconds(40)
        let report = await run(try Simulator(configuration))
        #expect(report.givenUp == 1)
        let arrived = server.requests.map(\.arrived)
        for (index, least) in [40, 80, 160, 320].enumerated() {
            let pause = arrived[index + 1] - arrived[index]
            // The server stamps a request when it has read it, hence a little slack downwards.
            #expect(pause >= .milliseconds(least - 15), "pause \(index)")
            // How late a machine under load may be is no promise of ours; not to be sent at all would be.
            #expect(pause < .seconds(20), "pause \(index)")
        }
    }

    @Test func aLateSuccessIsASuccess() async throws {
        let server = try TinyServer { $0.index < 3 ? .answer(503) : .answer(200) }
        defer { server.stop() }
        let report = await run(try Simulator(configuration(server.url)))
        #expect(report.accepted == 1 && report.retried == 3 && report.requests == 4)
        #expect(report.byStatus == [503: 3, 200: 1] && balances(report))
    }

    @Test func anAnswerThatIsLateIsNone() async throws {
        let server = try TinyServer { $0.index < 2 ? .silence : .answer(200) }
        defer { server.stop() }
        var configuration = configuration(server.url)
        configuration.timeout = .seconds(1)
        let started = ContinuousClock.now
        let report = await run(try Simulator(configuration))
        #expect(report.accepted == 1 && report.retried == 2 && report.failures == [.timeout: 2])
        #expect(ContinuousClock.now - started >= .seconds(2))
        #expect(report.byStatus == [200: 1] && report.latency.count == 1)
    }

    @Test func aConnectionThatEndsIsNoAnswer() async throws {
        let server = try TinyServer { [.close, .cutShort, .nonsense, .answer(200)][min($0.index, 3)] }
        defer { server.stop() }
        let report = await run(try Simulator(configuration(server.url)))
        #expect(report.accepted == 1 && report.retried == 3)
        #expect(report.failures == [.closed: 2, .other: 1] && balances(report))
    }

    @Test func aRefusedConnectionIsTriedAgain() async throws {
        // The port of TCPMUX (RFC 1078), which nobody serves.
        let report = await run(try Simulator(configuration("http://127.0.0.1:1", count: 3)))
        #expect(report.sent == 3 && report.givenUp == 3 && report.requests == 15 && report.failures == [.connect: 15])
        #expect(report.byStatus.isEmpty && report.latency.count == 0 && balances(report))
    }

    // MARK: Legacy forwarding

    @Test(arguments: ["", "OK", "true", "TRUE", "Tru"]) func legacyWithoutTrueFailsForGood(body: String) async throws {
        let server = try TinyServer { _ in .answer(200, body: body) }
        defer { server.stop() }
        let report = await run(try Simulator(configuration(server.url, .legacyGET)))
        #expect(report.refusedForGood == 1 && report.accepted == 0 && report.requests == 1 && balances(report))
    }

    @Test func legacyFindsTrueAnywhereInTheBody() async throws {
        let server = try TinyServer { _ in .answer(200, body: "<html>\n TTrue</html>") }
        defer { server.stop() }
        let report = await run(try Simulator(configuration(server.url, count: 5, .legacyGET)))
        #expect(report.accepted == 5 && report.refusedForGood == 0)
    }

    @Test func legacyIsSentAgainWhenThereWasNoAnswerOrNo2xx() async throws {
        let server = try TinyServer { [.close, .answer(500, body: "True"), .answer(200)][min($0.index, 2)] }
        defer { server.stop() }
        let report = await run(try Simulator(configuration(server.url, .legacyGET)))
        #expect(report.accepted == 1 && report.retried == 2 && report.refusedForGood == 0)
    }

    @Test func onlyLegacyAsksForTrue() async throws {
        let server = try TinyServer { _ in .answer(200, body: "") }
        defer { server.stop() }
        for generation in CallbackGeneration.allCases where generation != .legacyGET {
            let report = await run(try Simulator(configuration(server.url, generation)))
            #expect(report.accepted == 1, "\(generation)")
        }
    }

    // MARK: Rate, ends, extras

    @Test func theRateIsKept() async throws {
        let server = try TinyServer { _ in .answer(200) }
        defer { server.stop() }
        var configuration = configuration(server.url, count: 41)
        configuration.rate = 50
        let report = await run(try Simulator(configuration))
        #expect(report.accepted == 41)
        // 40 pauses of 20 ms.
        #expect(report.elapsed >= .milliseconds(790) && report.elapsed < .seconds(30))
    }

    @Test func theDurationEndsIt() async throws {
        let server = try TinyServer { _ in .answer(200) }
        defer { server.stop() }
        var configuration = configuration(server.url)
        configuration.count = nil
        configuration.rate = 20
        configuration.duration = .milliseconds(500)
        configuration.progressInterval = .milliseconds(50)
        let told = Mutex<[SimulatorProgress]>([])
        let report = await run(
            try Simulator(configuration), progress: { progress in told.withLock { $0.append(progress) } })
        #expect((1...11).contains(report.sent) && report.accepted == report.sent)
        #expect(report.elapsed >= .milliseconds(450) && report.elapsed < .seconds(30))
        let progress = told.withLock { $0 }
        #expect(progress.count >= 2)
        #expect(progress.last?.sent == report.sent && progress.last?.accepted == report.accepted)
        #expect(zip(progress, progress.dropFirst()).allSatisfy { $0.elapsed <= $1.elapsed && $0.sent <= $1.sent })
    }

    @Test func noMoreConnectionsThanClients() async throws {
        let server = try TinyServer { _ in
            usleep(2000)
            return .answer(200)
        }
        defer { server.stop() }
        var configuration = configuration(server.url, count: 200)
        configuration.clients = 4
        let report = await run(try Simulator(configuration))
        #expect(report.accepted == 200)
        #expect((2...4).contains(server.openMost))
        #expect(server.connections <= 8, "connections are kept and used again")
    }

    @Test func duplicatesAreTheSameCallbackAgain() async throws {
        let server = try TinyServer { _ in .answer(200) }
        defer { server.stop() }
        var configuration = configuration(server.url, count: 50)
        configuration.duplicates = 1
        let report = await run(try Simulator(configuration))
        #expect(report.sent == 50 && report.accepted == 50 && report.duplicates == 50 && report.requests == 100)
        #expect(report.byStatus == [200: 100] && balances(report))
        let bodies = Dictionary(grouping: server.requests, by: \.body).values.map(\.count)
        #expect(bodies == Array(repeating: 2, count: 50))
    }

    @Test func malformedOnesAreCountedAndArrive() async throws {
        let server = try TinyServer { _ in .answer(200) }
        defer { server.stop() }
        var configuration = SimulatorConfiguration(url: server.url)
        configuration.rate = 0
        configuration.count = 300
        configuration.malformed = 0.5
        let report = await run(try Simulator(configuration))
        #expect(report.sent == 300 && report.accepted == 300 && server.requests.count == 300)
        #expect((100...200).contains(report.malformed))
    }

    @Test func whatWaitsIsBounded() async throws {
        let server = try TinyServer { _ in .answer(500) }
        defer { server.stop() }
        var configuration = configuration(server.url)
        configuration.count = nil
        configuration.backoff = .seconds(60)
        configuration.maxWaiting = 10
        configuration.clients = 2
        configuration.progressInterval = .milliseconds(20)
        let simulator = try Simulator(configuration)
        let ticks = Mutex(0)
        let report = await run(
            simulator,
            progress: { progress in
                // Long enough at the bound for many more to be made, were it none.
                guard progress.waiting >= 10 else { return }
                let count = ticks.withLock { ticks in
                    ticks += 1
                    return ticks
                }
                if count == 10 { simulator.stop() }
            })
        #expect((10...12).contains(report.sent) && report.abandoned == report.sent && balances(report))
    }

    // MARK: stop()

    @Test func stopLetsRequestsInFlightBeAnswered() async throws {
        let server = try TinyServer { _ in
            usleep(300_000)
            return .answer(200)
        }
        defer { server.stop() }
        var configuration = configuration(server.url)
        configuration.count = nil
        configuration.clients = 3
        configuration.stopGrace = .seconds(30)
        let simulator = try Simulator(configuration)
        Thread.detachNewThread {
            while server.requests.count < 3 { usleep(5000) }
            simulator.stop()
        }
        let report = await run(simulator)
        // One of the three may have been answered, and another one begun, before the stop.
        #expect(report.sent >= 3 && report.accepted == report.sent && report.abandoned == 0)
    }

    @Test func stopAbandonsWhatIsNotAnsweredInTime() async throws {
        let server = try TinyServer { _ in .silence }
        defer { server.stop() }
        var configuration = configuration(server.url)
        configuration.count = nil
        configuration.clients = 3
        configuration.stopGrace = .milliseconds(100)
        configuration.timeout = .seconds(60)
        let simulator = try Simulator(configuration)
        Thread.detachNewThread {
            while server.requests.count < 3 { usleep(5000) }
            simulator.stop()
            simulator.stop()
        }
        let abandoned = Mutex(0)
        let report = await run(
            simulator,
            outcome: { _, outcome, _ in
                #expect(outcome == .abandoned)
                abandoned.withLock { $0 += 1 }
            })
        #expect(report.sent == 3 && report.abandoned == 3 && balances(report))
        #expect(abandoned.withLock { $0 } == 3)
        #expect(report.elapsed < .seconds(40), "the timeout of 60 s is not waited for")
    }

    @Test func aStopBeforeTheRunEndsItAtOnceAndASecondRunIsEmpty() async throws {
        let server = try TinyServer { _ in .answer(200) }
        defer { server.stop() }
        let stopped = try Simulator(configuration(server.url, count: 100))
        stopped.stop()
        #expect(await run(stopped).sent == 0)
        let twice = try Simulator(configuration(server.url, count: 2))
        #expect(await run(twice).sent == 2)
        #expect(await run(twice).sent == 0)
        twice.stop()
    }

    // MARK: Configuration

    @Test(arguments: [
        "", "nonsense", "ftp://127.0.0.1", "http://", "http://127.0.0.1/?secret=hidden", "http://127.0.0.1/#part",
        "http://user:hidden@127.0.0.1", "file:///etc/passwd", "http://127.0.0.1:99999",
    ])
    func wrongURLsAreRefused(url: String) {
        #expect { try Simulator(SimulatorConfiguration(url: url)) } throws: { error in
            let error = error as? SimulatorError
            return error?.code == .configuration && error?.problems.count == 1
                && error?.description.contains("hidden") == false
        }
    }

    @Test func everyProblemIsToldAtOnce() {
        var configuration = SimulatorConfiguration(url: "gopher://x")
        configuration.rate = -1
        configuration.clients = 0
        configuration.subscribers = 0
        configuration.duplicates = 1.5
        configuration.malformed = .nan
        configuration.tests = -0.1
        configuration.timeout = .zero
        configuration.attempts = 0
        configuration.backoff = .zero
        configuration.maxWaiting = 0
        configuration.stopGrace = .seconds(-1)
        configuration.progressInterval = .zero
        configuration.duration = .seconds(-1)
        configuration.authentication = SimulatorAuthentication(
            headerName: "a b", headerSecret: "x\r\nInjected: y", pathSecret: "reply", querySecret: "")
        #expect(configuration.problems().count == 18)
        #expect(!configuration.problems().joined().contains("Injected"))
        #expect(throws: SimulatorError.self) { try Simulator(configuration) }
    }

    @Test(arguments: [
        ("http://127.0.0.1:1", "http://127.0.0.1:1"), ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("http://h:1/webhooks", "http://h:1"), ("http://h:1/a/webhooks//", "http://h:1/a"),
        ("https://h", "https://h"), ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("HTTP://h/mywebhooks", "http://h/mywebhooks"),
    ])
    func theBaseIsWhatStandsBeforeTheRoute(url: String, base: String) throws {
        #expect(try Endpoint.parse(url).get().base == base)
    }
}
