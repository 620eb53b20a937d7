import SMSBridgeCertificates
import SMSBridgeHTTPServer
import SMSBridgeSettings

/// The files that TLS on the public port is made of.
struct TLSFiles: Sendable {
    /// Why there is no TLS, as people read it: the setting, the path, the reason.
    struct Problem: Error, Equatable, CustomStringConvertible {
        let description: String
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
    var identities: [FileIdentity?] { paths.map { FileIdentity($0.path) } }

    /// Reads the files. Blocks.
    func read() throws(Problem) -> TLSMaterial {
        var contents: [[UInt8]] = []
        for (key, path) in paths {
            switch readRegularFile(path) {
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

    /// The expiry of what the files hold now; none where they cannot be read.
    var expiries: [CertificateExpiry] { (try? read()).map(Self.expiries) ?? [] }

    static func expiries(of material: TLSMaterial) -> [CertificateExpiry] {
        func validities(_ pem: [UInt8]?) -> [CertificateFile.Validity] {
            pem.flatMap { try? CertificateFile(pem: $0).validities } ?? []
        }
        return [
            CertificateExpiry("http.tls.certificate", validities(material.certificate)),
            CertificateExpiry("http.tls.clientCa", validities(material.clientAuthorities), isAuthorities: true),
        ].compactMap(\.self)
    }
}
