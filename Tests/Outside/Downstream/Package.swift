// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Downstream",
    platforms: [.macOS(.v15)],
    dependencies: [.package(url: "@URL@", from: "99.0.0")],
    targets: [
        .executableTarget(name: "Downstream", dependencies: [.product(name: "SMSPortalEvents", package: "smsbridge")])
    ]
)
