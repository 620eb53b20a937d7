"""The software bill of materials of a built program, as SPDX 2.3 in JSON.

    python3 sbom.py VERSION PROGRAM SWIFT-VERSION

It names the program itself, the Swift runtime that is linked into it, and the Debian packages of the shared libraries that it
loads directly, with the versions of the machine that it was built on. The time is SOURCE_DATE_EPOCH.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

version, program, swift = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
created = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
content = program.read_bytes()


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def library_packages() -> dict[str, tuple[str, str]]:
    """The Debian package of each shared library that the program names: package → (version, source)."""
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "--dynamic", str(program)))
    paths = dict(re.findall(r"^\s*(\S+) => (/\S+)", run("ldd", str(program)), re.M))
    found = {}
    for name in needed:
        path = paths.get(name)
        if path is None:
            if name.startswith("ld-linux"):
                continue
            sys.exit(f"{name} is not found by ldd")
        # dpkg may know the file under the folder that /lib is a link to, or under the other one.
        for candidate in (path, os.path.realpath(path), path.removeprefix("/usr"), "/usr" + path):
            owner = subprocess.run(["dpkg-query", "--search", candidate], capture_output=True, text=True).stdout
            if owner:
                package = owner.split(": ")[0].split(",")[0]
                fields = run("dpkg-query", "--show", "--showformat", "${Package}\t${Version}\t${source:Package}", package)
                package_name, package_version, source = fields.split("\t")
                found[package_name] = (package_version, source)
                break
        else:
            sys.exit(f"{path} belongs to no Debian package")
    return found


# By source package; what is not here is said to be unknown.
LICENSES = {
    "librdkafka": "BSD-2-Clause", "libuv1": "MIT", "openssl": "Apache-2.0", "sqlite3": "blessing", "libyaml": "MIT",
    "curl": "curl", "zlib": "Zlib", "expat": "MIT", "glibc": "LGPL-2.1-or-later", "gcc-12": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "gcc-14": "GPL-3.0-or-later WITH GCC-exception-3.1",
}
distribution = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', pathlib.Path("/etc/os-release").read_text(), re.M))


def package(identifier: str, name: str, number: str, license_name: str, supplier: str, **more: object) -> dict:
    return {
        "SPDXID": f"SPDXRef-{identifier}", "name": name, "versionInfo": number, "supplier": supplier,
        "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": license_name,
        "licenseDeclared": license_name, "copyrightText": "NOASSERTION",
    } | more


packages = [
    package("smsbridge", "smsbridge", version, "Apache-2.0", "Organization: smsbridge contributors",
            primaryPackagePurpose="APPLICATION",
            checksums=[{"algorithm": "SHA256", "checksumValue": hashlib.sha256(content).hexdigest()}]),
    package("swift-runtime", "swift", swift, "Apache-2.0 WITH Swift-exception", "Organization: Apple Inc.",
            downloadLocation=f"https://github.com/swiftlang/swift/releases/tag/swift-{swift}-RELEASE",
            comment="Standard library, Concurrency, Dispatch and FoundationEssentials, linked statically; Unicode data under Unicode-3.0."),
]
relationships = [
    {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-smsbridge"},
    {"spdxElementId": "SPDXRef-smsbridge", "relationshipType": "STATIC_LINK", "relatedSpdxElement": "SPDXRef-swift-runtime"},
]
for name, (number, source) in sorted(library_packages().items()):
    identifier = "debian-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)
    locator = f"pkg:deb/{distribution['ID']}/{name}@{number}?distro={distribution['ID']}-{distribution['VERSION_ID']}".replace("+", "%2B")
    packages.append(package(
        identifier, name, number, LICENSES.get(source, "NOASSERTION"), "Organization: Debian",
        externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}]))
    relationships.append(
        {"spdxElementId": "SPDXRef-smsbridge", "relationshipType": "DYNAMIC_LINK", "relatedSpdxElement": f"SPDXRef-{identifier}"})
json.dump({
    "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"smsbridge-{version}",
    "documentNamespace": f"https://spdx.org/spdxdocs/smsbridge-{version}-{hashlib.sha256(content).hexdigest()[:16]}",
    "creationInfo": {
        "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Organization: smsbridge contributors", "Tool: sbom.py"],
    },
    "packages": packages, "relationships": relationships,
}, sys.stdout, indent=2)
print()
