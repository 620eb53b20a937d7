// swift-tools-version: 6.2
import PackageDescription

/// Modules of C libraries under plain names; `Tests/Outside/run` writes all but CSQLite.
let plainNames = [
    "CArguments", "CCurl", "CExpat", "CFaultyDisk", "CIconv", "COpenSSL", "CRDKafka", "CSQLite", "CSystem", "CUV",
    "CYAML",
    "CZlib",
]

let package = Package(
    name: "CLibraries",
    products: plainNames.map { .library(name: $0, targets: [$0]) },
    targets: plainNames.map { .systemLibrary(name: $0, path: $0) }
)
