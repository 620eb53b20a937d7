"""Breaks things around running bridges and reads what an operator reads. Each failed check is one line; the last line counts."""

import argparse
import os
import shlex
import shutil
import signal
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[1:1] = [os.path.join(TESTS, "Contract"), os.path.join(TESTS, "Chaos")]

import browser as browsers  # noqa: E402
import faults  # noqa: E402
import screenshots  # noqa: E402
from bridge import Bridge  # noqa: E402
from report import Report, check  # noqa: E402


def alone(report, browser, binary, folder):
    """The browser on a bridge that has no Kafka: broken enough, and needs nothing."""
    bridge = Bridge.start(binary, "127.0.0.1:1", "page", folder, "alone",
                          {"SMSBRIDGE_AUTH_NONE": "true", "SMSBRIDGE_SPOOL_ANY_FILE_SYSTEM": "true"})
    try:
        with report.case("without Kafka: the page says so"):
            dom = browser.dom(f"{bridge.admin}/?refresh=never")
            check("Kafka does not answer" in dom and "SmsbridgeKafkaDown" in dom, dom[:2000])
        browsers.look(report, browser, bridge.admin, folder, "without Kafka")
    finally:
        bridge.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the bridge, perhaps with arguments before `serve`")
    parser.add_argument("--long", action="store_true", help="every fault")
    parser.add_argument("--browser", action="store_true", help="the browser only, on a bridge without a Kafka")
    parser.add_argument("--screenshots", metavar="FOLDER", help="only write the documentation's screenshots there")
    parser.add_argument("--only", metavar="TEXT", default="", help="the faults with that in their title")
    parser.add_argument("--keep", metavar="FOLDER", help="leave logs and pictures there")
    options = parser.parse_args()
    # Whoever ends this ends what it has started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    report, binary = Report(verbose=True), shlex.split(options.binary)
    binary[0] = os.path.abspath(binary[0])
    folder = options.keep or tempfile.mkdtemp(prefix="smsbridge-page-")
    os.makedirs(folder, exist_ok=True)
    try:
        program = browsers.find()
        browser = browsers.Browser(program, folder) if program else None
        if browser is None:
            report.skip("browser", "there is no chromium here")
        if options.screenshots:
            if browser:
                screenshots.run(report, browser, binary, folder, os.path.abspath(options.screenshots))
        elif options.browser:
            if browser:
                alone(report, browser, binary, folder)
        else:
            faults.run(report, browser, binary, folder, options.long, options.only)
        return report.end()
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
