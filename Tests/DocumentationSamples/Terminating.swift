import Dispatch
import SMSPortalConsumer

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

func runUntilTerminated(_ consumer: EventConsumer) async throws {
    signal(SIGTERM, SIG_IGN)
    let terminated = DispatchSource.makeSignalSource(signal: SIGTERM)
    terminated.setEventHandler { consumer.shutdown() }
    terminated.resume()
    try await consumer.run()
}
