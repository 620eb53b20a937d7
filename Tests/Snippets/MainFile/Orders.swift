import SMSPortalConsumer

#if canImport(Glibc)
@preconcurrency import Glibc
#else
import Darwin
#endif

struct MalformedOrder: Error {}

protocol Orders: Sendable {
    func markDelivered(_ reference: String) async throws
    func markDelivered(_ references: [String]) async throws
}

struct PrintedOrders: Orders {
    func markDelivered(_ reference: String) async throws { print("delivered", reference) }
    func markDelivered(_ references: [String]) async throws {
        for reference in references { print("delivered", reference) }
    }
}

func makeConsumer(_ configuration: EventConsumer.Configuration, _ orders: some Orders) -> EventConsumer {
    EventConsumer(configuration: configuration)
        .onDeliveryStatus { status, _ in
            if let reference = status.reference { try await orders.markDelivered(reference) }
        }
}

/// In a pipe, too, a line is there as soon as it is printed.
func writeLinesAtOnce() { setvbuf(stdout, nil, _IOLBF, 0) }
