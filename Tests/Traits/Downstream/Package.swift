// swift-tools-version: 6.2
import PackageDescription

func program(_ name: String, _ other: Target.Dependency) -> Target {
    .executableTarget(
        name: name,
        dependencies: [
            .product(name: "SMSPortalConsumer", package: "smsbridge"),
            .product(name: "SMSPortalTesting", package: "smsbridge"), other,
        ])
}

let package = Package(
    name: "downstream",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(
            url: "https://git.example.com/smsbridge.git", branch: "main",
            traits: ["DistributedTracing", "ServiceLifecycle", "SwiftLog", "SwiftMetrics"]),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.6.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.7.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing.git", from: "1.1.0"),
    ],
    targets: [
        program("TraitLifecycle", .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")),
        program("TraitLog", .product(name: "Logging", package: "swift-log")),
        program("TraitTracing", .product(name: "Tracing", package: "swift-distributed-tracing")),
        program("TraitMetrics", .product(name: "CoreMetrics", package: "swift-metrics")),
    ]
)
