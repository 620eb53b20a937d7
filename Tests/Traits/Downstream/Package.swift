// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "downstream",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "@URL@", from: "99.0.0", traits: ["ServiceLifecycle"]),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.6.0"),
    ],
    targets: [
        .executableTarget(
            name: "Downstream",
            dependencies: [
                .product(name: "SMSPortalConsumer", package: "smsbridge"),
                .product(name: "SMSPortalTesting", package: "smsbridge"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ])
    ]
)
