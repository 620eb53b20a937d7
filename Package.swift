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

/// SwiftPM wants target names unique over all packages of a build, so none of ours is a plain word: `Kafka` is the target
/// `SMSBridgeKafka` in `Sources/System/Kafka`.
func unique(_ name: String) -> String {
    if name.hasPrefix("SMSPortal") || name == "smsbridge" { return name }
    let isSystemLibrary = name.hasPrefix("C") && name.dropFirst().first?.isUppercase == true
    return isSystemLibrary ? "CSMSBridge" + name.dropFirst() : "SMSBridge" + name
}

/// Our own targets by their short names.
func targets(_ names: [String]) -> [Target.Dependency] { names.map { .byName(name: unique($0)) } }

/// The folders of `Sources`: `System` knows nothing of SMS, `Bridge` is the path of an event and what is beside it,
/// `Library` is what services use, `Tools` are programs.
enum Group: String { case system = "System", bridge = "Bridge", library = "Library", tools = "Tools" }

func module(
    _ name: String, in group: Group, uses names: [String] = [], products: [Target.Dependency] = [],
    linked: [LinkerSetting] = [], embeds files: [String] = []
) -> Target {
    .target(
        name: unique(name), dependencies: targets(names) + products, path: "Sources/\(group.rawValue)/\(name)",
        resources: files.map { .embedInCode($0) }, swiftSettings: settings, linkerSettings: linked)
}

func executable(_ name: String, at path: String, uses names: [String]) -> Target {
    .executableTarget(name: unique(name), dependencies: targets(names), path: path, swiftSettings: settings)
}

func tests(of name: String, uses names: [String] = [], exclude: [String] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: targets([name] + names), exclude: exclude, swiftSettings: settings)
}

func system(_ name: String, pkgConfig: String? = nil, apt: String = "", brew: String = "") -> Target {
    .systemLibrary(
        name: unique(name), path: "Sources/System/\(name)", pkgConfig: pkgConfig,
        providers: pkgConfig == nil ? nil : [.apt([apt]), .brew([brew])])
}

/// One small service each, in `Examples`.
let examples = ["CustomerRecords", "PositiveReplies", "OptOuts", "FollowUps", "CampaignStatistics"]

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
        .trait(
            name: "DistributedTracing", description: "Handlers run in spans of swift-distributed-tracing."),
        .trait(name: "ServiceLifecycle", description: "EventConsumer is a Service of swift-service-lifecycle."),
        .trait(name: "SwiftLog", description: "EventLog writes to a Logger of swift-log."),
        .trait(name: "SwiftMetrics", description: "EventMetrics counts in a MetricsFactory of swift-metrics, too."),
    ],
    dependencies: [
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.6.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.7.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing.git", from: "1.1.0"),
    ],
    targets: [
        // C libraries of the system, one module map each.
        system("CRDKafka", pkgConfig: "rdkafka", apt: "librdkafka-dev", brew: "librdkafka"),
        system("CUV", pkgConfig: "libuv", apt: "libuv1-dev", brew: "libuv"),
        system("COpenSSL", pkgConfig: "openssl", apt: "libssl-dev", brew: "openssl@3"),
        system("CSQLite", pkgConfig: "sqlite3", apt: "libsqlite3-dev", brew: "sqlite"),
        system("CYAML", pkgConfig: "yaml-0.1", apt: "libyaml-dev", brew: "libyaml"),
        system("CCurl", pkgConfig: "libcurl", apt: "libcurl4-openssl-dev", brew: "curl"),
        system("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev", brew: "zlib"),
        // A part of the C library; on macOS a library of the system.
        system("CIconv"),
        // The vendor's polling interface answers in XML; Foundation's parser would bring libxml2 and all of Foundation.
        system("CExpat", pkgConfig: "expat", apt: "libexpat1-dev", brew: "expat"),
        system("CSystem"),
        // The one target in C: a constructor keeps the arguments of the process.
        .target(name: unique("CArguments"), path: "Sources/System/CArguments"),

        module("Addresses", in: .system),
        module("Files", in: .system),
        module("Certificates", in: .system, uses: ["COpenSSL"]),
        module("Threads", in: .system, uses: ["CSystem"]),
        module("Kafka", in: .system, uses: ["CRDKafka", "Telemetry", "Threads"]),
        module("EventLoop", in: .system, uses: ["CUV"]),
        module("HTTPServer", in: .system, uses: ["Addresses", "COpenSSL", "EventLoop", "Threads", "CUV"]),
        module("Telemetry", in: .system, uses: ["Threads"]),

        // The path of an event.
        module(
            "SMSPortalEvents", in: .library, uses: ["COpenSSL", "CZlib", "CIconv"],
            linked: [.linkedLibrary("iconv", .when(platforms: [.macOS]))]),
        module("Spool", in: .bridge, uses: ["COpenSSL", "CSQLite", "CSystem", "Files", "Threads"]),
        module(
            "Publisher", in: .bridge, uses: ["EventLoop", "Kafka", "SMSPortalEvents", "Spool", "Telemetry", "Threads"]),
        module(
            "Ingress", in: .bridge,
            uses: [
                "Addresses", "EventLoop", "HTTPServer", "SMSPortalEvents", "Publisher", "Telemetry", "COpenSSL",
            ]),

        // Replaying a range of the topics.
        module("Replaying", in: .library, uses: ["Kafka", "Telemetry"]),

        // Reacting to events.
        module(
            "SMSPortalConsumer", in: .library, uses: ["Kafka", "Replaying", "SMSPortalEvents", "Telemetry", "Threads"],
            products: [
                .product(
                    name: "ServiceLifecycle", package: "swift-service-lifecycle",
                    condition: .when(traits: ["ServiceLifecycle"])),
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["SwiftLog"])),
                .product(name: "CoreMetrics", package: "swift-metrics", condition: .when(traits: ["SwiftMetrics"])),
                .product(
                    name: "Tracing", package: "swift-distributed-tracing",
                    condition: .when(traits: ["DistributedTracing"])),
            ]),
        module("SMSPortalTesting", in: .library, uses: ["Kafka", "SMSPortalConsumer", "SMSPortalEvents", "Threads"]),
        module(
            "SMSPortalConsumerSQLite", in: .library, uses: ["CSQLite", "SMSPortalConsumer", "Telemetry", "Threads"]),

        // Beside the path.
        module(
            "Operations", in: .bridge, uses: ["Addresses", "EventLoop", "HTTPServer", "Telemetry", "Threads"],
            embeds: ["Runbook/runbook.md"]),
        module("Settings", in: .bridge, uses: ["Addresses", "CYAML", "Files", "SMSPortalEvents"]),
        module("SMSPortalSimulator", in: .tools, uses: ["CCurl", "COpenSSL", "SMSPortalEvents", "Threads"]),
        executable(
            "smsbridge", at: "Sources/Tools/smsbridge",
            uses: [
                "Addresses", "CArguments", "CExpat", "CIconv", "CZlib", "Certificates", "EventLoop", "Files",
                "HTTPServer", "Ingress", "Kafka", "Operations", "Publisher", "Replaying", "Settings", "SMSPortalEvents",
                "SMSPortalSimulator", "Spool", "Telemetry", "Threads",
            ]),

        // Measures the consumer library; `scripts/bench consumer` runs it.
        executable(
            "ConsumerBench", at: "Benchmarks/ConsumerBench", uses: ["Kafka", "SMSPortalConsumer", "SMSPortalEvents"]),

        // A consumer to be killed; `scripts/chaos` runs several of it.
        executable("ConsumerProbe", at: "Tests/ConsumerProbe", uses: ["SMSPortalConsumer", "SMSPortalEvents"]),

        // Reactions to start from: one small service each.
        .target(
            name: unique("ExampleSupport"), dependencies: targets(["CSQLite", "SMSPortalConsumer"]),
            path: "Examples/Support", swiftSettings: settings),

        // What the documentation shows, as programs: pasted into a main.swift and into a type marked `@main`.
        executable("SnippetMainFile", at: "Tests/Snippets/MainFile", uses: ["SMSPortalConsumer"]),
        executable("SnippetMainType", at: "Tests/Snippets/MainType", uses: ["SMSPortalConsumer"]),
        executable("CallBacks", at: "Tests/Outside/CallBacks/Sources/CallBacks", uses: ["SMSPortalConsumer"]),
        .testTarget(
            name: "SnippetTests",
            dependencies: targets(
                examples + [
                    "SnippetMainFile", "SnippetMainType", "CallBacks", "Kafka", "SMSPortalConsumer", "SMSPortalTesting",
                ]),
            swiftSettings: settings),

        // Runs the request parser in every way that bytes can come; for tests, comparisons and fuzzing.
        .target(
            name: unique("ParserProbe"), dependencies: targets(["HTTPServer"]), path: "Tests/ParserProbe",
            swiftSettings: settings),

        // What tests of several modules share.
        .target(name: unique("TestSupport"), path: "Tests/TestSupport", swiftSettings: settings),

        // A disk that fails on request, below SQLite.
        .target(name: unique("CFaultyDisk"), dependencies: targets(["CSQLite"]), path: "Tests/FaultyDisk"),

        tests(of: "Addresses"),
        tests(of: "Files"),
        tests(of: "Certificates"),
        tests(of: "Threads"),
        tests(of: "Kafka", uses: ["Threads"]),
        tests(of: "Replaying", uses: ["Kafka"]),
        tests(of: "EventLoop", uses: ["TestSupport", "Threads"]),
        tests(
            of: "HTTPServer",
            uses: ["Addresses", "COpenSSL", "EventLoop", "ParserProbe", "TestSupport", "Threads"], exclude: ["Cases"]),
        tests(of: "Telemetry"),
        tests(of: "SMSPortalEvents", uses: ["TestSupport"]),
        tests(of: "Spool", uses: ["CFaultyDisk", "CSQLite", "TestSupport"]),
        tests(
            of: "Publisher",
            uses: ["EventLoop", "Kafka", "SMSPortalEvents", "Spool", "Telemetry", "TestSupport", "Threads"]),
        tests(
            of: "Ingress",
            uses: [
                "Addresses", "COpenSSL", "EventLoop", "HTTPServer", "Kafka", "Publisher", "SMSPortalEvents",
                "Telemetry", "TestSupport", "Threads",
            ]),
        tests(of: "SMSPortalConsumer", uses: ["Kafka", "SMSPortalEvents", "Telemetry", "TestSupport", "Threads"]),
        tests(of: "SMSPortalTesting", uses: ["SMSPortalConsumer", "SMSPortalEvents"]),
        tests(of: "SMSPortalConsumerSQLite", uses: ["CSQLite", "SMSPortalConsumer", "TestSupport"]),
        tests(of: "Operations", uses: ["EventLoop", "HTTPServer", "Telemetry", "Threads"]),
        tests(of: "Settings", uses: ["TestSupport"]),
        tests(of: "SMSPortalSimulator"),
        .testTarget(
            name: "ExampleTests",
            dependencies: targets(
                examples + ["ExampleSupport", "SMSPortalConsumer", "SMSPortalEvents", "SMSPortalTesting"]),
            swiftSettings: settings),
        .testTarget(
            name: "CommandTests",
            dependencies: targets([
                "smsbridge", "Kafka", "Publisher", "Replaying", "Settings", "SMSPortalEvents", "Telemetry",
                "TestSupport",
            ]),
            swiftSettings: settings),
    ]
)

package.targets += examples.map {
    executable($0, at: "Examples/\($0)", uses: ["ExampleSupport", "SMSPortalConsumer", "SMSPortalEvents"])
}

// Fuzzing needs a sanitizer at link time, so its targets are here only when `scripts/fuzz` asks for them.
if Context.environment["SMSBRIDGE_FUZZ"] != nil {
    package.targets += [
        executable(
            "FuzzRequestParser", at: "Fuzz/Sources/FuzzRequestParser", uses: ["HTTPServer", "ParserProbe"])
    ]
}
