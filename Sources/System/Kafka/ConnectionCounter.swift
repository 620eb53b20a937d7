internal import CSMSBridgeRDKafka
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

/// Counts the connections that a client opens, each before its first byte is sent.
///
/// What is known of the cluster behind an address was learned over some connection; a new one may lead elsewhere. A
/// caller that reads an unchanged count after receiving an answer knows that it came over a connection that was there
/// before.
final class ConnectionCounter: Sendable {
    private let count = Atomic<UInt64>(0)

    var value: UInt64 { count.load(ordering: .acquiring) }

    /// Counts for the client that is made of this configuration, and must live as long as it.
    func install(in conf: OpaquePointer) {
        rd_kafka_conf_set_opaque(conf, Unmanaged.passUnretained(self).toOpaque())
        // On librdkafka's threads. It takes the place of its own `connect`, and does the same.
        rd_kafka_conf_set_connect_cb(conf) { socket, address, length, _, opaque in
            if let opaque {
                Unmanaged<ConnectionCounter>.fromOpaque(opaque).takeUnretainedValue().count.add(1, ordering: .releasing)
            }
            guard let address, connect(socket, address, socklen_t(length)) != 0, errno != EINPROGRESS else { return 0 }
            return errno
        }
    }
}
