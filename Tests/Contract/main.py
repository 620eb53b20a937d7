"""The bridge's contract, checked from outside against a real Kafka. Each failed case is one line; the last line counts."""

import argparse
import os
import secrets
import shlex
import shutil
import sys
import tempfile
import time

import checks_auth
import checks_http
import checks_payload
import checks_records
import loglines
import wire
from bridge import Bridge
from records import Topics
from report import Report, check

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Suite:
    """What the checks share: the bridge, its topics, its secrets, and all that may not leak."""

    def __init__(self, report, bridge, topics, schemas, header, secrets_, folder, binary, partitions):
        self.report, self.bridge, self.topics, self.schemas = report, bridge, topics, schemas
        self.header, self.secrets, self.folder, self.binary = header, secrets_, folder, binary
        self.partitions = partitions
        self.seen = []
        self.bridges = [bridge]
        self.private = set()  # texts, numbers and secrets that may be in no log, metric or answer
        self.forbidden = set(secrets_)  # what may be in no record either
        self.good = 0

    @property
    def auth_lines(self):
        return [f"{self.header}: {self.secrets[0]}"] if self.secrets else []

    @property
    def auth(self):
        return [(self.header, self.secrets[0])] if self.secrets else []

    def target(self, route=""):
        return f"{self.bridge.url}/webhooks" + (f"/{route}" if route else "")

    def good_request(self, headers=(), **more):
        """A delivery status that nothing is wrong with; the reference tells it from all others."""
        self.good += 1
        reference = f"good-{self.good}-{secrets.token_hex(4)}"
        body = (f'{{"Status":"DELIVRD","EventId":{self.good},"Mcc":655,"Mnc":"01","MsgCount":1,"Msisdn":"27001555001",'
                f'"Received":1735711200,"UserReference":"{reference}"}}').encode()
        return reference, wire.request(
            "POST", "/webhooks/delivery-status", [*self.auth, ("Content-Type", "application/json"), *headers], body, **more)

    def lives(self):
        """A good request on a connection of its own is answered and published."""
        reference, data = self.good_request()
        mark = self.topics.mark()
        with wire.Connection(self.bridge.url) as connection:
            connection.send(data)
            answer = connection.answer()
        if answer is None or answer.status != 200:
            raise AssertionError(f"a good request afterwards got {answer}")
        for record in self.topics.after(mark, 1):
            if reference.encode() in record.value:
                return
        # Another record was read first.
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            if any(reference.encode() in record.value for record in self.topics.records[mark:]):
                return
            time.sleep(0.01)
        raise AssertionError("a good request afterwards is not in Kafka")


def arguments():
    parser = argparse.ArgumentParser(
        prog="Tests/Contract/run", description=__doc__,
        epilog="example: Tests/Contract/run --binary .build/debug/smsbridge --bootstrap 127.0.0.1:9092")
    parser.add_argument("--binary", help="the bridge to start (with `serve`); may have arguments "
                        "(default without --bridge: .build/debug/smsbridge)")
    parser.add_argument("--bridge", help="a running bridge's public base URL, instead of --binary")
    parser.add_argument("--admin", help="the running bridge's private base URL")
    parser.add_argument("--bootstrap", default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), help="host:port of Kafka")
    parser.add_argument("--prefix", help="the topics' prefix (default: a free one with --binary, else smsportal)")
    parser.add_argument("--header", default="X-Webhook-Secret", help="the header of the running bridge's secret")
    parser.add_argument("--secret", action="append", default=[], help="the running bridge's secrets (up to two)")
    parser.add_argument("--log", help="the running bridge's log, to be searched for secrets and numbers")
    parser.add_argument("--schemas", default=os.path.join(ROOT, "schemas"))
    parser.add_argument("--only", action="append", default=[],
                        choices=["records", "fixtures", "identity", "payload", "http", "auth", "life", "leaks"])
    parser.add_argument("--slow", action="store_true", help="also the checks that wait for the 10 s limits")
    parser.add_argument("--keep", action="store_true", help="keep the logs and the spool")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each case that passed, too")
    options = parser.parse_args()
    if not options.bootstrap:
        parser.error("--bootstrap (or KAFKA_BOOTSTRAP_SERVERS) is needed")
    if options.binary and options.bridge:
        parser.error("--binary and --bridge exclude each other")
    if not options.bridge and not options.binary:
        options.binary = shlex.quote(os.path.join(ROOT, ".build", "debug", "smsbridge"))
    return options


def main():
    options = arguments()
    report = Report(options.verbose)
    folder = tempfile.mkdtemp(prefix="smsbridge-contract-")
    secrets_ = options.secret or ["first-" + secrets.token_hex(12), "second-" + secrets.token_hex(12)]
    prefix = options.prefix or (f"contract-{secrets.token_hex(4)}" if options.binary else "smsportal")
    binary = shlex.split(options.binary) if options.binary else None
    bridges, topics = [], None
    try:
        if binary:
            binary[0] = os.path.abspath(binary[0]) if os.sep in binary[0] else binary[0]
            environment = {
                "SMSBRIDGE_AUTH_HEADER_NAME": options.header, "SMSBRIDGE_AUTH_HEADER_SECRETS": ",".join(secrets_),
                "SMSBRIDGE_TOPICS_PARTITIONS": "2", "SMSBRIDGE_TOPICS_REPLICATION": "1", "SMSBRIDGE_LOG_LEVEL": "trace",
            }
            bridge = Bridge.start(binary, options.bootstrap, prefix, folder, "main", environment)
        else:
            bridge = Bridge(options.bridge, options.admin, log_path=options.log)
            secrets_ = options.secret
        bridges.append(bridge)
        topics = Topics(options.bootstrap, prefix)
        topics.start()
        suite = Suite(
            report, bridge, topics, checks_records.Schemas(options.schemas), options.header, secrets_, folder, binary, 2)
        suite.bridges, suite.bootstrap, suite.prefix = bridges, options.bootstrap, prefix
        suite.slow = options.slow
        wanted = lambda name: not options.only or name in options.only
        if wanted("records"):
            checks_records.examples(suite)
        if wanted("fixtures"):
            checks_records.fixtures(suite, os.path.join(ROOT, "Tests", "Fixtures", "callbacks.json"))
        if wanted("identity"):
            checks_records.identity(suite)
        if wanted("payload"):
            checks_payload.run(suite)
        if wanted("http"):
            checks_http.run(suite)
        if wanted("auth"):
            checks_auth.run(suite)
        if wanted("life"):
            checks_http.life(suite)
        if wanted("leaks"):
            checks_auth.leaks(suite)
        if suite.bridge.process is not None:
            with report.case("the bridge that was checked lived to the end and leaves with 0"):
                code = suite.bridge.process.poll()
                if code is not None:
                    raise AssertionError(f"it ended with {code}")
                code = suite.bridge.end()
                if code != 0:
                    raise AssertionError(f"on SIGTERM it ended with {code}: {suite.bridge.log()[-500:]}")
            with report.case("every line of every log is JSON or strict logfmt"):
                wrong = [line for bridge in bridges for line in loglines.complaints(bridge.log())]
                check(not wrong, f"{len(wrong)} lines: {wrong[:3]}")
    except Exception as error:  # before the checks: no bridge, no Kafka
        with report.case("the bridge and Kafka are there"):
            raise error
    finally:
        for bridge in bridges:
            bridge.end()
        if topics:
            topics.close()
        if options.keep:
            print(f"logs in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
