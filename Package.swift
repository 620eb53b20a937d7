// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target of this package is built alike: Swift 6 mode, three upcoming features, warnings are errors.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

func module(_ name: String, uses dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    .target(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: settings)
}

func tests(
    of name: String, uses dependencies: [Target.Dependency] = [], exclude: [String] = [], resources: [Resource] = []
) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: [.byName(name: name)] + dependencies, exclude: exclude, resources: resources,
        swiftSettings: settings)
}

func example(_ name: String) -> Target {
    .executableTarget(
        name: name, dependencies: ["ExampleSupport", "SMSPortalConsumer", "SMSPortalEvents"], path: "Examples/\(name)",
        swiftSettings: settings)
}

func system(_ name: String, pkgConfig: String, apt: String, brew: String) -> Target {
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt]), .brew([brew])])
}

let package = Package(
    name: "smsbridge",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "smsbridge", targets: ["smsbridge"]),
        .library(name: "SMSPortalEvents", targets: ["SMSPortalEvents"]),
        .library(name: "SMSPortalConsumer", targets: ["SMSPortalConsumer"]),
        .library(name: "SMSPortalTesting", targets: ["SMSPortalTesting"]),
        .library(name: "SMSPortalConsumerSQLite", targets: ["SMSPortalConsumerSQLite"]),
    ],
    traits: [
        // Off by default: what only a trait uses is neither resolved nor fetched.
        .trait(name: "ServiceLifecycle", description: "EventConsumer is a Service of swift-service-lifecycle."),
        .trait(name: "SwiftLog", description: "EventLog writes to a Logger of swift-log."),
        .trait(name: "SwiftMetrics", description: "EventMetrics counts in a MetricsFactory of swift-metrics, too."),
    ],
    dependencies: [
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.6.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.7.0"),
    ],
    targets: [
        // C libraries of the system, one module map each.
        system("CRDKafka", pkgConfig: "rdkafka", apt: "librdkafka-dev", brew: "librdkafka"),
        system("CUV", pkgConfig: "libuv", apt: "libuv1-dev", brew: "libuv"),
        system("COpenSSL", pkgConfig: "openssl", apt: "libssl-dev", brew: "openssl@3"),
        system("CSQLite", pkgConfig: "sqlite3", apt: "libsqlite3-dev", brew: "sqlite"),
        system("CYAML", pkgConfig: "yaml-0.1", apt: "libyaml-dev", brew: "libyaml"),
        system("CCurl", pkgConfig: "libcurl", apt: "libcurl4-openssl-dev", brew: "curl"),

        .systemLibrary(name: "CSystem"),

        // What knows nothing of SMS.
        module("Addresses"),
        module("Threads", uses: ["CSystem"]),
        module("Kafka", uses: ["CRDKafka", "Threads"]),
        module("EventLoop", uses: ["CUV"]),
        module("HTTPServer", uses: ["Addresses", "COpenSSL", "EventLoop", "Threads", "CUV"]),
        module("Telemetry", uses: ["Threads"]),

        // The path of an event.
        module("SMSPortalEvents", uses: ["COpenSSL"]),
        module("Spool", uses: ["COpenSSL", "CSQLite", "CSystem", "Threads"]),
        module("Publisher", uses: ["EventLoop", "Kafka", "SMSPortalEvents", "Spool", "Telemetry", "Threads"]),
        module("Ingress", uses: ["Addresses", "EventLoop", "HTTPServer", "SMSPortalEvents", "Publisher", "Telemetry", "COpenSSL"]),

        // What reads a stretch of the topics again.
        module("Replaying", uses: ["Kafka"]),

        // What reacts to events.
        module(
            "SMSPortalConsumer",
            uses: [
                "Kafka", "Replaying", "SMSPortalEvents", "Telemetry", "Threads",
                .product(
                    name: "ServiceLifecycle", package: "swift-service-lifecycle",
                    condition: .when(traits: ["ServiceLifecycle"])),
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["SwiftLog"])),
                .product(name: "CoreMetrics", package: "swift-metrics", condition: .when(traits: ["SwiftMetrics"])),
            ]),
        module("SMSPortalTesting", uses: ["Kafka", "SMSPortalConsumer", "SMSPortalEvents", "Threads"]),
        module("SMSPortalConsumerSQLite", uses: ["CSQLite", "SMSPortalConsumer", "Telemetry", "Threads"]),

        // Beside the path.
        module("Operations", uses: ["Addresses", "EventLoop", "HTTPServer", "Telemetry", "Threads"]),
        module("Settings", uses: ["Addresses", "CYAML"]),
        module("SMSPortalSimulator", uses: ["CCurl", "COpenSSL", "SMSPortalEvents", "Threads"]),
        .executableTarget(
            name: "smsbridge",
            dependencies: [
                "Addresses", "EventLoop", "HTTPServer", "Ingress", "Kafka", "Operations", "Publisher", "Replaying", "Settings",
                "SMSPortalEvents", "SMSPortalSimulator", "Spool", "Telemetry", "Threads",
            ],
            swiftSettings: settings),

        // Measures the consumer library; `scripts/bench consumer` runs it.
        .executableTarget(
            name: "ConsumerBench", dependencies: ["Kafka", "SMSPortalConsumer", "SMSPortalEvents"],
            path: "Benchmarks/ConsumerBench", swiftSettings: settings),

        // A consumer to be killed; `scripts/chaos` runs several of it.
        .executableTarget(
            name: "ConsumerProbe", dependencies: ["SMSPortalConsumer", "SMSPortalEvents"],
            path: "Tests/ConsumerProbe", swiftSettings: settings),

        // Reactions to start from: one small service each.
        .target(
            name: "ExampleSupport", dependencies: ["CSQLite", "SMSPortalConsumer"], path: "Examples/Support",
            swiftSettings: settings),
        example("CustomerRecords"),
        example("PositiveReplies"),
        example("OptOuts"),
        example("FollowUps"),
        example("CampaignStatistics"),

        // What the documentation shows, compiled.
        .target(
            name: "DocumentationSamples", dependencies: ["SMSPortalConsumer", "SMSPortalEvents"],
            path: "Tests/DocumentationSamples", swiftSettings: settings),

        tests(of: "Addresses"),
        tests(of: "Threads"),
        tests(of: "Kafka", uses: ["Threads"]),
        tests(of: "Replaying", uses: ["Kafka"]),
        tests(of: "EventLoop", uses: ["Threads"]),
        // Runs the request parser in every way that bytes can come; for tests, comparisons and fuzzing.
        .target(name: "ParserProbe", dependencies: ["HTTPServer"], path: "Tests/ParserProbe", swiftSettings: settings),
        tests(of: "HTTPServer", uses: ["Addresses", "COpenSSL", "EventLoop", "Threads", "ParserProbe"], exclude: ["Cases"]),
        tests(of: "Telemetry"),
        tests(of: "SMSPortalEvents"),
        tests(of: "Spool"),
        tests(of: "Publisher", uses: ["EventLoop", "Kafka", "SMSPortalEvents", "Spool", "Telemetry", "Threads"]),
        tests(
            of: "Ingress",
            uses: [
                "Addresses", "COpenSSL", "EventLoop", "HTTPServer", "Kafka", "Publisher", "SMSPortalEvents", "Telemetry",
                "Threads",
            ]),
        tests(of: "SMSPortalConsumer", uses: ["Kafka", "SMSPortalEvents", "Telemetry", "Threads"]),
        tests(of: "SMSPortalTesting", uses: ["SMSPortalConsumer", "SMSPortalEvents"]),
        tests(of: "SMSPortalConsumerSQLite", uses: ["CSQLite", "SMSPortalConsumer"]),
        tests(of: "Operations", uses: ["EventLoop", "HTTPServer", "Telemetry", "Threads"]),
        tests(of: "Settings"),
        tests(of: "SMSPortalSimulator"),
        .testTarget(
            name: "ExampleTests",
            dependencies: [
                "CustomerRecords", "PositiveReplies", "OptOuts", "FollowUps", "CampaignStatistics", "ExampleSupport",
                "SMSPortalConsumer", "SMSPortalEvents", "SMSPortalTesting",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "CommandTests",
            dependencies: ["smsbridge", "Kafka", "Publisher", "Replaying", "Settings", "SMSPortalEvents", "Telemetry"],
            swiftSettings: settings),
    ]
)

// Fuzzing needs a sanitizer at link time, so its targets are here only when `scripts/fuzz` asks for them.
if Context.environment["SMSBRIDGE_FUZZ"] != nil {
    package.targets += [
        .executableTarget(
            name: "FuzzRequestParser", dependencies: ["HTTPServer", "ParserProbe"],
            path: "Fuzz/Sources/FuzzRequestParser", swiftSettings: settings)
    ]
}
