internal import SMSBridgeKafka
internal import SMSBridgeSpool

/// What ends in its own time: producers' clients with the records that they may touch until then, and a spool that writes
/// what it was given.
package struct RetiredResources: Sendable {
    struct Retired: Sendable {
        var client: Client
        var check: ClusterCheck?
        /// What librdkafka may read as long as the client lives.
        var records: [SpoolRecord]
    }

    var producers: [Retired] = []
    var audit: RecordAudit?
    var spool: Spool?

    /// Waits for the spool's end. Blocks, without a bound where its disk does not answer, so not on an event loop.
    package func endSpool() { spool?.stop() }

    /// Whether the spool's file is closed.
    package var hasSpoolEnded: Bool { spool?.hasEnded ?? true }

    /// Ends all of it. Blocks, so not on an event loop.
    package func destroy() {
        endSpool()
        audit?.stop()
        for producer in producers {
            producer.check?.stop()
            withExtendedLifetime(producer.records) { producer.client.destroy() }
        }
    }
}
