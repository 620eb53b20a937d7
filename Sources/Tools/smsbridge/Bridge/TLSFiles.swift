import SMSBridgeHTTPServer
import SMSBridgeSettings

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The files that TLS on the public port is made of.
struct TLSFiles: Sendable {
    /// Why there is no TLS, as people read it: the setting, the path, the reason.
    struct Problem: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    /// What tells whether a file is another one than before, or has another content.
    struct Identity: Sendable, Equatable {
        private let parts: [Int64]

        /// Nil for a file that is not there.
        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            #if os(Linux)
            let (modified, changed) = (status.st_mtim, status.st_ctim)
            #else
            let (modified, changed) = (status.st_mtimespec, status.st_ctimespec)
            #endif
            parts = [
                Int64(truncatingIfNeeded: status.st_dev), Int64(truncatingIfNeeded: status.st_ino),
                Int64(truncatingIfNeeded: status.st_size), Int64(modified.tv_sec), Int64(modified.tv_nsec),
                Int64(changed.tv_sec), Int64(changed.tv_nsec),
            ]
        }
    }

    private let settings: BridgeSettings.HTTP.TLS

    /// Nil without TLS.
    init?(_ settings: BridgeSettings) {
        guard !settings.http.tls.certificate.isEmpty else { return nil }
        self.settings = settings.http.tls
    }

    /// What keeps the bridge from speaking TLS, if it is to.
    static func problem(_ settings: BridgeSettings) -> String? {
        guard let files = TLSFiles(settings) else { return nil }
        do throws(Problem) {
            _ = try files.context(files.read())
            return nil
        } catch { return error.description }
    }

    private var paths: [(key: String, path: String)] {
        var paths = [("http.tls.certificate", settings.certificate), ("http.tls.key", settings.key)]
        if !settings.clientCa.isEmpty { paths.append(("http.tls.clientCa", settings.clientCa)) }
        return paths
    }

    /// How the files look now.
    var identities: [Identity?] { paths.map { Identity($0.path) } }

    /// Reads the files. Blocks.
    func read() throws(Problem) -> TLSMaterial {
        var contents: [[UInt8]] = []
        for (key, path) in paths {
            switch readWholeFile(path) {
            case .success(let bytes): contents.append(bytes)
            case .failure(let failure): throw Problem(description: "\(key): cannot read \(path): \(failure.reason)")
            }
        }
        var material = TLSMaterial(certificate: contents[0], key: contents[1])
        if contents.count > 2 { material.clientAuthorities = contents[2] }
        material.clientCertificate = settings.clientCertificate == .required ? .required : .optional
        return material
    }

    /// Makes of the files' content what the server needs.
    func context(_ material: TLSMaterial) throws(Problem) -> TLSContext {
        do throws(TLSProblem) {
            return try TLSContext(material)
        } catch {
            let place =
                switch error.part {
                case .certificate: "http.tls.certificate: \(settings.certificate)"
                case .key: "http.tls.key: \(settings.key)"
                case .clientAuthorities: "http.tls.clientCa: \(settings.clientCa)"
                case .library: "http.tls"
                }
            throw Problem(description: "\(place): \(error.description)")
        }
    }
}
