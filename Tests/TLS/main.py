"""See Tests/TLS/run."""

import argparse
import os
import pathlib
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "Contract"))

import checks  # noqa: E402
from bridge import Authority  # noqa: E402
from report import Report  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description="TLS and the PROXY protocol of a running bridge, seen from outside.")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--long", action="store_true", help="more rounds, a longer flood")
    parser.add_argument("--only", help="one of: wrong, scan, proxies, replace, flood")
    parser.add_argument("--cost", action="store_true", help="measure what TLS costs, and nothing else")
    parser.add_argument("--bootstrap", default="127.0.0.1:1", help="a Kafka for --cost; without one events go to the spool")
    parser.add_argument("--verbose", action="store_true", help="name what passes, too")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    report = Report(options.verbose)
    with tempfile.TemporaryDirectory(prefix="smsbridge-tls-") as name:
        folder = pathlib.Path(name)
        authority = Authority(folder)
        if options.cost:
            checks.cost(binary, folder, authority, options.bootstrap, 10 if options.long else 5, 5 if options.long else 3)
            return 0
        parts = {
            "wrong": lambda: checks.wrong(report, binary, folder, authority),
            "scan": lambda: checks.scan(report, binary, folder, authority),
            "proxies": lambda: checks.proxies(report, binary, folder, authority),
            "replace": lambda: checks.replace(report, binary, folder, authority, 4 if options.long else 1),
            "flood": lambda: checks.flood(
                report, binary, folder, authority, 40 if options.long else 10, 8000 if options.long else 3000),
        }
        for part, run in parts.items():
            if options.only in (None, part):
                with report.case(f"{part} runs to its end"):
                    run()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
