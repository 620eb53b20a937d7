import Foundation
import SMSBridgeCertificates
import Testing

/// Reading the validity of certificates. The samples were made with `openssl ca`; their dates are fixed.
@Suite struct CertificateFileTests {
    /// CN=smsbridge, from 2020-01-01 to 2030-01-01.
    static let leaf = """
        -----BEGIN CERTIFICATE-----
        MIIBIzCByQICEAAwCgYIKoZIzj0EAwIwJjEQMA4GA1UECgwHRXhhbXBsZTESMBAG
        A1UEAwwJYXV0aG9yaXR5MB4XDTIwMDEwMTAwMDAwMFoXDTMwMDEwMTAwMDAwMFow
        FDESMBAGA1UEAwwJc21zYnJpZGdlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
        KowT4XejrMH8ciYLNXycO9wWSiGN1bqq6th36M93tE68pMMWDSlFB2Ehgn5cljkJ
        MiEnvGJk3guR49EXdzaj0DAKBggqhkjOPQQDAgNJADBGAiEA1SgGuCsjCEzFjyab
        kQrGeXYGLlpBc0CfE78IA1RQxEACIQCY1G/1Zl32dqrMON+73XREUxCo0FW+qwFl
        dA/Fz+WOCw==
        -----END CERTIFICATE-----
        """

    /// CN=authority, from 2020-01-01 to 2025-01-01.
    static let authority = """
        -----BEGIN CERTIFICATE-----
        MIIBDzCBtwICEAEwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJYXV0aG9yaXR5MB4X
        DTIwMDEwMTAwMDAwMFoXDTI1MDEwMTAwMDAwMFowFDESMBAGA1UEAwwJYXV0aG9y
        aXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMB+i5JyV+wMithUroABBWsBg
        PXqe2GSPjnF0EJ/s1MRknWH+EgRHa3BhFSDQhYgES2rnDnqFPYXc+BuVcsd6fDAK
        BggqhkjOPQQDAgNHADBEAiAS3yqqZjD3LJA0IJtl0Sij2bq8bB7d4cyHiksbeWHE
        FwIgFXe85HQK4qzwQ8J+q7pOV1+zQQVgT84j5p2QTIm4r7g=
        -----END CERTIFICATE-----
        """

    /// By CN=authority, next update 2025-06-01.
    static let revocationList = """
        -----BEGIN X509 CRL-----
        MIG+MGUCAQEwCgYIKoZIzj0EAwIwJjEQMA4GA1UECgwHRXhhbXBsZTESMBAGA1UE
        AwwJYXV0aG9yaXR5Fw0yMDAxMDEwMDAwMDBaFw0yNTA2MDEwMDAwMDBaoA4wDDAK
        BgNVHRQEAwIBATAKBggqhkjOPQQDAgNJADBGAiEA3MJ3MHFjfZeZr1qa4Zs55dcj
        mHwaJO4cUixDndmHY8MCIQCMOse5RqBhp7WbcvVev8ECy0DFVGRmZIrZ22BK6jZJ
        TQ==
        -----END X509 CRL-----
        """

    /// Both certificates and no key; the password is `store-password`.
    static let keyStore = """
        MIIDhwIBAzCCAz0GCSqGSIb3DQEHAaCCAy4EggMqMIIDJjCCAyIGCSqGSIb3DQEHBqCCAxMwggMPAgEAMIIDCAYJKoZIhvcNAQcB
        MFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhln2fcCHKWIAICCAAwDAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEI6k
        9YpiTjLXccisnyTqooGAggKgoii6M8g0DnpjS5Uim8HpnOAgFx4e9BPGaDQq+HdwZOlVmFKkfyiFZHRQ5ZI+Loe54iR1amqVwPcT
        hPnfnECYG5yFYhsJem9YmpHb/F1wC38x7bzPSm0hwLLSDHADqz2FOoZeNIqU/u764ePi66efxYGw6vyGIzMC8ULN4gCF5SgGZhSl
        VeR+UoDGr5+/Ptp8qGRKdyII1FYVFwtQaYYfnAtkZWMYi7rx8IwjytsjNAWBz++kCoVAJSzPr2lVWbNHD0pyDSdpe5JFcp7yOvDX
        nw/03nBJk81CcbAY4Gpc1ioGfSDMDvgbd6jHR2Ke8Z/jenVc4VSFCtP7lkXbnwv6XO/gCG3ppsNaAc5CPEQrByh6Zae2ybOLiuGB
        y6ckCrhphiv+9X8oBGtJuGg3Y4kj9WzYKLeNLvrxOA40tNEPqHkxNEjqGCFqM0oLlxtmHERuCmvAF5U3AHvIRqA80e42th6R8lHF
        7jJDsAEZP72WMSQfORtIM0Kv6JFAeG1JgZe7M1Idd0Y68WBxMDFk4fPLIbG1LINMynqvthVfzlbnfjoQgzq8nij41PetC9bToL71
        IFhrbzTyAF7xJLxlXRTQd7gZl6yooA7cZ7fM500gvG7gVeMbNOau8gJ5mc3/oaYlI+uswvx8+LplV+zLuv0itWuGgfog4pAVmM+E
        r8Xc3a4iNMYkje7GVF1G7qMLmIeGyNOWVVKhXuiOlMzmg9LKNcRDRJl+X3DNSiE+4jxChRVzRdsGT5T8pRJU8uPmOjGuzdKf4uM7
        3mN06dXyNcJ0fEEAZEoazDfu8taL0joq59rLo+71c/CqXA45kPH4b80Qt5dtUzJI0ZmaBHnXzKK3H/LyOcHK5JUnE0+Deg1ejOzU
        EeqTfUnYM1nVmaJjFQQUMEEwMTANBglghkgBZQMEAgEFAAQgYD4NgrQCHFXHjFA2Expgs6OIpV7nnKJGa/g9oaiC9RgECNNW5ufm
        makPAgIIAA==
        """

    private static let year2020: Int64 = 1_577_836_800
    private static let year2025: Int64 = 1_735_689_600
    private static let june2025: Int64 = 1_748_736_000
    private static let year2030: Int64 = 1_893_456_000

    private func bytes(_ texts: String...) -> [UInt8] { Array(texts.joined(separator: "\n").utf8) }

    @Test func aChainEndsWithTheFirstOfItsCertificates() throws {
        let file = try CertificateFile(pem: bytes("comment", Self.leaf, Self.authority))
        #expect(file.validities.map(\.subject) == ["CN=smsbridge", "CN=authority"])
        #expect(file.validities.map(\.begin) == [Self.year2020, Self.year2020])
        #expect(file.validities.map(\.end) == [Self.year2030, Self.year2025])
        #expect(file.chainEnd == Self.year2025)
        #expect(try CertificateFile(pem: bytes(Self.leaf)).chainEnd == Self.year2030)
    }

    @Test func aKeptListOfAuthoritiesEndsWithItsFirstAndACollectionWithItsLast() throws {
        let kept = try CertificateFile(pem: bytes(Self.leaf, Self.authority))
        #expect(kept.authoritiesEnd == Self.year2025)
        let collection = CertificateFile(
            validities: (0..<21).map { .init(subject: "", begin: 0, end: $0 == 0 ? Self.year2030 : Self.year2025) })
        #expect(collection.authoritiesEnd == Self.year2030)
    }

    @Test func aRevocationListIsValidUntilItsNextUpdate() throws {
        let list = try CertificateFile(revocationLists: bytes(Self.revocationList))
        #expect(list.validities.map(\.end) == [Self.june2025])
        #expect(list.validities.map(\.subject) == ["CN=authority,O=Example"])
    }

    @Test func aKeyStoreIsReadWithItsPassword() throws {
        let store = Array(try #require(Data(base64Encoded: Self.keyStore.replacing("\n", with: ""))))
        let file = try CertificateFile(keyStore: store, password: "store-password")
        #expect(Set(file.validities.map(\.subject)) == ["CN=smsbridge", "CN=authority"])
        #expect(file.chainEnd == Self.year2025)
        #expect(throws: CertificateProblem(description: "the key store cannot be opened with its password")) {
            try CertificateFile(keyStore: store, password: "other")
        }
        #expect(throws: CertificateProblem(description: "it is no PKCS #12 key store")) {
            try CertificateFile(keyStore: bytes(Self.leaf), password: "")
        }
    }

    @Test func whatIsNoCertificateIsRejected() throws {
        #expect(throws: CertificateProblem(description: "there is no certificate in it (PEM)")) {
            try CertificateFile(pem: [])
        }
        #expect(throws: CertificateProblem(description: "there is no certificate in it (PEM)")) {
            try CertificateFile(pem: bytes(Self.revocationList))
        }
        #expect(throws: CertificateProblem(description: "there is no revocation list in it (PEM)")) {
            try CertificateFile(revocationLists: bytes(Self.leaf))
        }
        let cut = Self.authority.prefix(300)
        #expect(throws: CertificateProblem(description: "certificate 2 in it cannot be read")) {
            try CertificateFile(pem: bytes(Self.leaf, String(cut) + "\n-----END CERTIFICATE-----"))
        }
    }
}
