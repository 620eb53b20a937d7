// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "CallBacks",
    platforms: [.macOS(.v15)],
    dependencies: [.package(url: "https://git.example.com/smsbridge.git", branch: "main")],
    targets: [
        .executableTarget(
            name: "CallBacks",
            dependencies: [.product(name: "SMSPortalConsumer", package: "smsbridge")]),
        .testTarget(
            name: "CallBacksTests",
            dependencies: ["CallBacks", .product(name: "SMSPortalTesting", package: "smsbridge")]),
    ]
)
