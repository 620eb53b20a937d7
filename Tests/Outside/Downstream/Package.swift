// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Downstream",
    platforms: [.macOS(.v15)],
    dependencies: [.package(url: "https://git.example.com/smsbridge.git", from: "0.1.0")],
    targets: [
        .executableTarget(name: "Downstream", dependencies: [.product(name: "SMSPortalEvents", package: "smsbridge")])
    ]
)
