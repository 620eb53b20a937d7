import SMSBridgeCertificates
import SMSBridgeFiles
import SMSBridgeKafka
import SMSBridgeSettings

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The files that Kafka's properties name: `ssl.ca.location`, `ssl.key.location` and the like. librdkafka reads them once, when a
/// client is made.
struct KafkaFiles: Sendable {
    /// Properties and the paths that they name, in order of name.
    let paths: [(property: String, path: String)]
    private let properties: [String: String]

    init(_ client: ClientConfiguration) {
        properties = client.properties
        paths = client.properties.filter { KafkaProperties.namesFile($0.key, $0.value) }
            .sorted { $0.key < $1.key }.map { (property: $0.key, path: $0.value) }
    }

    /// How the files look now; of a folder of authorities (`ssl.ca.location`) each file in it.
    var identities: [FileIdentity?] {
        paths.flatMap { _, path in [FileIdentity(path)] + Self.entries(of: path).map { FileIdentity($0) } }
    }

    /// The files that cannot be read, and why. librdkafka would only say that OpenSSL could not, and would wait for a FIFO.
    var unreadable: [(property: String, path: String, reason: String)] {
        paths.compactMap { property, path in
            Self.unreadable(property, path).map { (property: property, path: path, reason: $0) }
        }
    }

    private static func unreadable(_ property: String, _ path: String) -> String? {
        // Opened, not only asked for: descriptors may have run out.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let code = errno
            return (code == ENXIO ? notRegular(path) : nil) ?? accessFailure(path, code)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return String(cString: strerror(errno)) }
        // Authorities may be a folder of files.
        if property.hasSuffix("ca.location"), status.st_mode & S_IFMT == S_IFDIR { return nil }
        return notRegular(status)
    }

    // MARK: - Expiry

    /// The expiry of every property with certificates or revocation lists. Files that cannot be read are left out: librdkafka
    /// reports them.
    var expiries: [CertificateExpiry] {
        properties.sorted { $0.key < $1.key }.compactMap { name, value in
            let kind = name.hasPrefix("https.") ? "ssl." + name.dropFirst("https.".count) : name
            let isPath = KafkaProperties.namesFile(name, value)
            guard isPath || name.hasSuffix(".pem") else { return nil }
            switch kind {
            case "ssl.ca.location" where !Self.entries(of: value).isEmpty:
                let files = Self.entries(of: value).compactMap { path in
                    Self.content(path, true).flatMap { try? CertificateFile(pem: $0) }
                }
                return CertificateExpiry(name, files.flatMap(\.validities), isAuthorities: true)
            case "ssl.ca.location", "ssl.ca.pem":
                let file = Self.content(value, isPath).flatMap { try? CertificateFile(pem: $0) }
                return CertificateExpiry(name, file?.validities ?? [], isAuthorities: true)
            case "ssl.certificate.location", "ssl.certificate.pem":
                let file = Self.content(value, isPath).flatMap { try? CertificateFile(pem: $0) }
                return CertificateExpiry(name, file?.validities ?? [])
            case "ssl.keystore.location":
                let password = properties["ssl.keystore.password"] ?? ""
                let file = Self.content(value, isPath).flatMap {
                    try? CertificateFile(keyStore: $0, password: password)
                }
                return CertificateExpiry(name, file?.validities ?? [])
            case "ssl.crl.location":
                let file = Self.content(value, isPath).flatMap { try? CertificateFile(revocationLists: $0) }
                return CertificateExpiry(name, file?.validities ?? [])
            default: return nil
            }
        }
    }

    private static func content(_ value: String, _ isPath: Bool) -> [UInt8]? {
        isPath ? try? readRegularFile(value).get() : Array(value.utf8)
    }

    /// The most files of a folder that are looked at.
    private static let mostEntries = 1_000

    /// The files of a folder, in order of name; none of anything else.
    private static func entries(of path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder), names.count < mostEntries {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted().map { "\(path)/\($0)" }
    }
}
