import Testing

@testable import SMSBridgePublisher

@Suite struct ReportTrustTests {
    private func report(_ opaque: UInt64, partition: Int32 = 0, offset: Int64) -> ReportTrust.Report {
        ReportTrust.Report(opaque: opaque, topic: 0, partition: partition, offset: offset)
    }

    /// A producer whose cluster is confirmed over two connections.
    private func confirmed() -> ReportTrust {
        var trust = ReportTrust()
        let asks = trust.ask()
        #expect(asks)
        #expect(trust.confirm(.init(connections: 2, clusterID: "one"), connections: 2) == .trusted([]))
        return trust
    }

    @Test func nothingIsTrustedBeforeTheClusterIsKnown() {
        var trust = ReportTrust()
        #expect(trust.receive(report(1, offset: 0), connections: 1) == .held)
        let asks = trust.ask()
        #expect(asks)
        let asksTwice = trust.ask()
        #expect(!asksTwice, "one question at a time")
        #expect(
            trust.confirm(.init(connections: 1, clusterID: "one"), connections: 1)
                == .trusted([report(1, offset: 0)]))
        #expect(trust.receive(report(2, offset: 1), connections: 1) == .trusted)
    }

    @Test func aNewConnectionHoldsReportsUntilAQuestionPutAfterThemIsAnswered() {
        var trust = confirmed()
        #expect(trust.receive(report(1, offset: 0), connections: 3) == .held)
        let asks = trust.ask()
        #expect(asks)
        // Another connection while the question is under way: what came after it was put is not covered.
        #expect(trust.receive(report(2, offset: 1), connections: 4) == .held)
        #expect(
            trust.confirm(.init(connections: 3, clusterID: "one"), connections: 4)
                == .trusted([report(1, offset: 0)]))
        #expect(trust.held.map(\.opaque) == [2])
        let asksAgain = trust.ask()
        #expect(asksAgain)
        #expect(
            trust.confirm(.init(connections: 4, clusterID: "one"), connections: 4)
                == .trusted([report(2, offset: 1)]))
    }

    @Test func reportsOfAnotherClusterAreNotTrusted() {
        var trust = confirmed()
        #expect(trust.receive(report(1, offset: 5), connections: 3) == .held)
        _ = trust.ask()
        #expect(
            trust.confirm(.init(connections: 3, clusterID: "two"), connections: 3)
                == .clusterChanged(from: "one", to: "two", [report(1, offset: 5)]))
        #expect(trust.held.isEmpty)
    }

    @Test func aClusterThatWasThereOnlyForAMomentIsNotForgotten() {
        var trust = confirmed()
        trust.metAnotherCluster()
        #expect(trust.receive(report(1, offset: 5), connections: 2) == .held, "though no connection is new")
        _ = trust.ask()
        #expect(
            trust.confirm(.init(connections: 4, clusterID: "one"), connections: 4)
                == .clusterChanged(from: "one", to: "one", [report(1, offset: 5)]))
    }

    @Test func aQuestionWithoutAnAnswerIsPutAgain() {
        var trust = confirmed()
        _ = trust.receive(report(1, offset: 0), connections: 3)
        _ = trust.ask()
        trust.notConfirmed()
        #expect(trust.held.count == 1)
        let asks = trust.ask()
        #expect(asks)
    }

    @Test func anOffsetThatWasAcknowledgedBeforeMeansThatTheLogWasReset() {
        var trust = confirmed()
        #expect(trust.receive(report(1, offset: 7), connections: 2) == .trusted)
        #expect(trust.receive(report(2, partition: 1, offset: 0), connections: 2) == .trusted)
        #expect(trust.receive(report(3, offset: 7), connections: 2) == .logReset)
        #expect(trust.receive(report(4, offset: 3), connections: 2) == .logReset)
        #expect(trust.receive(report(5, offset: 8), connections: 2) == .trusted)
        var next = ReportTrust(after: trust, keepsOffsets: true)
        #expect(next.receive(report(6, offset: 2), connections: 1) == .logReset, "a new producer, the same log")
        next = ReportTrust(after: trust, keepsOffsets: false)
        #expect(next.receive(report(6, offset: 2), connections: 1) == .held)
    }

    @Test func aLogThatEndsBeforeWhatWasAcknowledgedWasReset() {
        var trust = confirmed()
        #expect(trust.receive(report(1, partition: 2, offset: 7), connections: 2) == .trusted)
        #expect(trust.acknowledgedEnds.map(\.end) == [8])
        #expect(trust.receive(report(2, partition: 1, offset: 3), connections: 3) == .held)
        _ = trust.ask()
        let reset = ReportTrust.Partition(topic: 0, partition: 2)
        #expect(
            trust.confirm(.init(connections: 3, clusterID: "one", resets: [reset]), connections: 3)
                == .logReset([reset], [report(2, partition: 1, offset: 3)]))
    }

    @Test func brokersWithoutAClusterIDAreTrustedByTheirLogs() {
        var trust = ReportTrust()
        _ = trust.receive(report(1, offset: 0), connections: 1)
        _ = trust.ask()
        #expect(
            trust.confirm(.init(connections: 1, clusterID: nil), connections: 1) == .trusted([report(1, offset: 0)]))
        _ = trust.receive(report(2, offset: 1), connections: 2)
        _ = trust.ask()
        #expect(
            trust.confirm(.init(connections: 2, clusterID: nil), connections: 2) == .trusted([report(2, offset: 1)]))
    }
}
