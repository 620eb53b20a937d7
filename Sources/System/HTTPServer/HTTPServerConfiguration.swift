package import SMSBridgeAddresses

/// Where a server listens and what it bears.
package struct HTTPServerConfiguration: Sendable {
    /// Numeric address or name to listen on; a name is looked up once, at `listen()`, and all its addresses are used.
    /// `::` takes IPv4 too.
    package var host = "0.0.0.0"
    /// 0 lets the system choose.
    package var port: UInt16 = 0
    /// Connections that wait to be accepted.
    package var backlog: Int32 = 1024

    /// Bounds of one request.
    package var limits = RequestParser.Limits()
    /// A head must be whole this long after the accept, or after the first byte since the answer before. 10 s.
    package var headTimeout = Duration.seconds(10)
    /// A body must be whole this long after its head. 10 s.
    package var bodyTimeout = Duration.seconds(10)
    /// An answer must be taken by the client this long after it was given. 10 s.
    package var writeTimeout = Duration.seconds(10)
    /// A connection without a request is closed after this. 65 min: longer than proxies keep theirs (Envoy an hour), so
    /// that the proxy is the one that closes, and never sends a request into a closing connection. What idle connections
    /// cost is bounded by their number.
    package var idleTimeout = Duration.seconds(3_900)
    /// Connections served at a time. For one more the one that has been idle for longest is closed; when none is, it is
    /// answered 503 and closed. 10,000.
    package var maxConnections = 10_000
    /// Whether, when none is idle, one more ends the connection that has waited for longest for its client: with a request
    /// that is not whole, an answer that is not read, or no request at all.
    package var displacesWaiting = false
    /// Connections beyond `maxConnections` that are being answered 503 at a time; further ones wait to be accepted. 64.
    package var maxSurplusConnections = 64
    /// Memory for requests that are not whole yet, and for bytes that came behind them, of all connections together.
    /// A request that would pass it is answered 503. 64 MiB.
    package var maxUnfinishedBytes = 64 * 1024 * 1024
    /// Bytes that a client may send ahead while a request of its waits for the answer; then reading stops. 64 KiB.
    package var maxPipelinedBytes = 64 * 1024
    /// After the last answer the client may still send this much, which is thrown away, before the connection is
    /// closed: closing at once would reset it, and the client might never read the answer. 1 MiB.
    package var maxDrainBytes = 1024 * 1024
    /// The same in time. 2 s.
    package var drainTimeout = Duration.seconds(2)
    /// When the process is out of descriptors, accepting pauses until a connection closes, or for this long. 100 ms.
    package var acceptRetryDelay = Duration.milliseconds(100)

    /// A TLS handshake must be done this long after the accept, or after the PROXY header. 10 s.
    package var handshakeTimeout = Duration.seconds(10)
    /// Handshakes in progress, those included whose client has sent nothing. For one more the one is ended whose client has
    /// been waited for longest: a flood of idle ones goes, and who answers in time gets in. 1,000.
    package var maxHandshakes = 1_000
    /// Nil: connections begin with a request or a handshake. Otherwise each begins with a header of the PROXY protocol
    /// and comes from one of these; others are closed.
    package var proxyProtocolSources: [AddressRange]?

    package init() {}
}
