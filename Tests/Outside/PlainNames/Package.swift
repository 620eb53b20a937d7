// swift-tools-version: 6.2
import PackageDescription

// SwiftPM wants target names unique over all packages of a build. A package beside smsbridge may use every plain name:
// these are the names of smsbridge's own targets without their prefix, and `Tests/Outside/run` holds the list against
// smsbridge's description.

/// Programs and libraries; `Tests/Outside/run` writes a file for each.
let plainNames = [
    "Addresses", "CallBacks", "CampaignStatistics", "Certificates", "ConsumerBench", "ConsumerProbe", "CustomerRecords",
    "EventLoop", "ExampleSupport", "Files", "FollowUps", "HTTPServer", "Ingress", "Kafka", "Operations", "OptOuts",
    "ParserProbe",
    "PositiveReplies", "Publisher", "Replaying", "Settings", "SnippetMainFile", "SnippetMainType",
    "Spool", "Telemetry", "TestSupport", "Threads",
]

/// Tests, likewise.
let plainTestNames = [
    "AddressesTests", "CertificatesTests", "CommandTests", "EventLoopTests", "ExampleTests", "FilesTests",
    "HTTPServerTests", "IngressTests",
    "KafkaTests",
    "OperationsTests", "PublisherTests", "ReplayingTests", "SMSPortalConsumerSQLiteTests", "SMSPortalConsumerTests",
    "SMSPortalEventsTests", "SMSPortalSimulatorTests", "SMSPortalTestingTests", "SettingsTests", "SnippetTests",
    "SpoolTests",
    "TelemetryTests", "ThreadsTests",
]

let package = Package(
    name: "PlainNames",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "https://git.example.com/smsbridge.git", from: "0.1.0"),
        // As sqlite-nio does, another package brings a target CSQLite.
        .package(path: "CLibraries"),
    ],
    targets: plainNames.map { .target(name: $0) }
        + plainTestNames.map { .testTarget(name: $0) }
        + [
            .testTarget(
                name: "PlainNamesTests",
                dependencies: plainNames.map { .byName(name: $0) } + [
                    .product(name: "CSQLite", package: "CLibraries"),
                    .product(name: "SMSPortalConsumer", package: "smsbridge"),
                    .product(name: "SMSPortalConsumerSQLite", package: "smsbridge"),
                    .product(name: "SMSPortalEvents", package: "smsbridge"),
                    .product(name: "SMSPortalTesting", package: "smsbridge"),
                ])
        ]
)
