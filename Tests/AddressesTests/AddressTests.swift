import Testing

@testable import SMSBridgeAddresses

@Suite("Addresses")
struct AddressTests {
    @Test("addresses are written as people write them")
    func written() {
        let four = PeerAddress(high: 0, low: 0xFFFF_C000_0201, port: 80)
        #expect("\(four)" == "192.0.2.1:80")
        #expect(four.ipv4 == 0xC000_0201)
        let six = PeerAddress(high: 0x2001_0DB8_0000_0000, low: 1, port: 443)
        #expect("\(six)" == "[2001:db8::1]:443")
        #expect(six.ipv4 == nil)
    }

    @Test(
        "addresses are read as people, proxies and this type write them",
        arguments: [
            ("192.0.2.1", "192.0.2.1:0"), ("192.0.2.1:80", "192.0.2.1:80"), ("0.0.0.0:65535", "0.0.0.0:65535"),
            ("::1", "[::1]:0"), ("[::1]", "[::1]:0"), ("[2001:DB8::1]:443", "[2001:db8::1]:443"), ("::", "[::]:0"),
            ("::ffff:192.0.2.1", "192.0.2.1:0"), ("[::ffff:c000:201]:9", "192.0.2.1:9"),
            ("0000:0000:0000:0000:0000:ffff:255.255.255.255", "255.255.255.255:0"), ("1::2:80", "[1::2:80]:0"),
        ])
    func read(text: String, means: String) throws {
        let address = try #require(PeerAddress(text))
        #expect(address.description == means)
        #expect(PeerAddress(address.description) == address)
        #expect(PeerAddress("x \(text)".dropFirst(2)) == address, "a piece of a text is as good")
    }

    @Test(
        "what is no address is none",
        arguments: [
            "", "localhost", "192.0.2", "192.0.2.1.5", "192.0.2.256", "192.0.2.01", "0x7f.0.0.1", "2130706433",
            " 1.2.3.4",
            "1.2.3.4 ", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "1.2.3.4:+80", "1.2.3.4:123456", "1.2.3.4\u{0}",
            "1.2.3.4\u{0}.example.com", "[1.2.3.4]", "[1.2.3.4]:80", "[::1", "::1]", "[::1]x", "[::1]80", "[]", "[",
            ":",
            ":::", "fe80::1%eth0", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "::1/128", "unknown",
            "_hidden", String(repeating: "1", count: 10_000), "１.2.3.4",
        ])
    func noAddress(text: String) { #expect(PeerAddress(text) == nil) }

    @Test(
        "a range holds the addresses that begin alike, and no other",
        arguments: [
            (
                "10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
                ["9.255.255.255", "11.0.0.0", "::a00:1"]
            ),
            ("192.0.2.1", ["192.0.2.1", "192.0.2.1:99"], ["192.0.2.0", "192.0.2.2", "::1", "::192.0.2.1"]),
            ("192.0.2.1/32", ["192.0.2.1"], ["192.0.2.3"]), ("192.0.2.0/31", ["192.0.2.1"], ["192.0.2.2"]),
            ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1", "2001:db8::1"]),
            ("128.0.0.0/1", ["128.0.0.0", "255.0.0.1"], ["127.255.255.255"]),
            ("2001:db8::/32", ["2001:db8::", "2001:db8:ffff::1"], ["2001:db7:ffff::", "2001:db9::"]),
            ("2001:db8::/64", ["2001:db8::ffff:ffff:ffff:ffff"], ["2001:db8:0:1::"]),
            ("2001:db8::/65", ["2001:db8::7fff:0:0:0"], ["2001:db8::8000:0:0:0"]),
            ("2001:db8::1/128", ["2001:db8::1"], ["2001:db8::2"]), ("2001:db8::1", ["2001:db8::1"], ["2001:db8::"]),
            ("::/0", ["::1", "ffff::"], ["192.0.2.1", "::ffff:192.0.2.1"]), ("::/64", ["::1"], ["192.0.2.1"]),
            ("::ffff:10.0.0.0/104", ["10.1.2.3"], ["11.0.0.0"]), ("::ffff:0:0/96", ["1.2.3.4"], ["::1"]),
            ("::ffff:192.0.2.1", ["192.0.2.1"], ["192.0.2.2"]),
        ])
    func ranges(text: String, inside: [String], outside: [String]) throws {
        let range = try AddressRange(text)
        for address in inside { #expect(range.contains(try #require(PeerAddress(address))), "\(address) in \(text)") }
        for address in outside { #expect(!range.contains(try #require(PeerAddress(address))), "\(address) in \(text)") }
        #expect(try AddressRange(range.description) == range)
    }

    @Test(
        "a wrong range says what is wrong with it",
        arguments: [
            ("", "not an IPv4 or IPv6 address"), ("/8", "not an IPv4 or IPv6 address"),
            ("example.com/8", "not an IPv4 or IPv6 address"), ("10/8", "not an IPv4 or IPv6 address"),
            ("10.0.0.0/33", "the prefix length is a whole number from 0 to 32"),
            ("10.0.0.0/", "the prefix length is a whole number from 0 to 32"),
            ("10.0.0.0/-1", "the prefix length is a whole number from 0 to 32"),
            ("10.0.0.0/08", "the prefix length is a whole number from 0 to 32"),
            ("10.0.0.0/8/8", "the prefix length is a whole number from 0 to 32"),
            ("10.0.0.0/255.0.0.0", "the prefix length is a whole number from 0 to 32, not a mask"),
            ("::/129", "the prefix length is a whole number from 0 to 128"),
            ("10.1.2.3/8", "10.0.0.0/8 is the range, and 10.1.2.3/32 the one address"),
            ("2001:db8::1/32", "2001:db8::/32 is the range, and 2001:db8::1/128 the one address"),
            ("::ffff:10.1.2.3/104", "::ffff:10.0.0.0/104 is the range, and ::ffff:10.1.2.3/128 the one address"),
            ("10.0.0.0:80/8", "without brackets and port"), ("[::1]", "without brackets and port"),
            ("1.2.3.4:0", "without brackets and port"), ("fe80::1%eth0/64", "not an IPv4 or IPv6 address"),
        ])
    func wrong(text: String, says: String) {
        #expect { try AddressRange(text) } throws: { "\($0)".contains(says) }
    }

    @Test(
        "ranges that hold every address of a family are known as such",
        arguments: [
            (["0.0.0.0/0"], true, false), (["::/0"], false, true), (["0.0.0.0/0", "::/0"], true, true),
            (["0.0.0.0/1", "128.0.0.0/1"], true, false), (["128.0.0.0/1", "0.0.0.0/2", "64.0.0.0/2"], true, false),
            (["0.0.0.0/1", "128.0.0.0/2"], false, false), (["0.0.0.0/1", "129.0.0.0/8"], false, false),
            (["::ffff:0:0/96"], true, false), (["::/1", "8000::/1"], false, true),
            (["::/1", "c000::/2"], false, false),
            (["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"], false, false), ([], false, false),
            (["0.0.0.0/1", "0.0.0.0/0"], true, false), (["255.255.255.255"], false, false),
        ] as [([String], Bool, Bool)])
    func everything(ranges: [String], ipv4: Bool, ipv6: Bool) throws {
        let ranges = try ranges.map { try AddressRange($0) }
        #expect(ranges.coverEveryIPv4Address == ipv4 && ranges.coverEveryIPv6Address == ipv6)
        // And so it is.
        let addresses = ["0.0.0.0", "127.0.0.1", "128.0.0.0", "203.0.113.9", "255.255.255.255"].compactMap {
            PeerAddress($0)
        }
        #expect(!ipv4 || addresses.allSatisfy { ranges.contain($0) })
        let others = ["::", "2001:db8::1", "8000::", "ffff:ffff::1"].compactMap { PeerAddress($0) }
        #expect(!ipv6 || others.allSatisfy { ranges.contain($0) })
    }
}
