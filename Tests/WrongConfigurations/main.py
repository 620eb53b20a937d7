"""Runs the table of wrong configurations. Each failed case is one line; the last line counts."""

import argparse
import concurrent.futures
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import cases
from cluster import Cluster, free_port
from report import Report, check

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT = 15
#: What a program that has fallen over prints.
TRACES = re.compile(r"\.swift:\d+|Stack dump|crashed|Traceback|Assertion|Thread \d+|\*\*\* |Segmentation|0x[0-9a-f]{8}")


class Runner:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.numbers = binary, folder, itertools.count(1)
        self.rows = []  # of --table

    def invocation(self, case):
        number = next(self.numbers)
        spool = os.path.join(self.folder, f"spool-{number}")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SMSBRIDGE_")}
        arguments = case.command.split()
        if not case.bare:
            environment |= {
                "SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": cases.KAFKA, "SMSBRIDGE_AUTH_NONE": "true",
                "SMSBRIDGE_HTTP_HOST": "127.0.0.1", "SMSBRIDGE_HTTP_PORT": str(free_port()),
                "SMSBRIDGE_ADMIN_PORT": str(free_port()), "SMSBRIDGE_SPOOL_PATH": spool,
                "SMSBRIDGE_SHUTDOWN_DELAY": "0s", "SMSBRIDGE_SHUTDOWN_DEADLINE": "5s",
            }
            # The settings of a case about files are the file's.
            if case.yaml is not None:
                for name in ("HTTP_PORT", "HTTP_HOST", "ADMIN_PORT", "SPOOL_PATH"):
                    environment.pop("SMSBRIDGE_" + name)
            if "--shutdown-delay" in case.args:
                environment.pop("SMSBRIDGE_SHUTDOWN_DEADLINE")
            if case.command == "topics create":
                environment.pop("SMSBRIDGE_AUTH_NONE")
            if "--spool-none" in case.args:
                environment.pop("SMSBRIDGE_SPOOL_PATH")
            arguments += [a for a in case.args]
        else:
            arguments += case.args
        environment |= case.env
        path = None
        if case.yaml is not None:
            path = os.path.join(self.folder, f"config-{number}.yaml")
            with open(path, "wb") as file:
                file.write(case.yaml if isinstance(case.yaml, bytes) else case.yaml.encode())
            arguments += ["--config", path]
        return [self.binary, *arguments], environment, path

    def run(self, case):
        command, environment, path = self.invocation(case)
        says = [text.replace("FILE", path) if path else text for text in case.says]
        began = time.monotonic()
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = bytearray()
        reader = threading.Thread(target=lambda: [output.extend(part) for part in iter(
            lambda: process.stdout.read1(65536), b"")], daemon=True)
        reader.start()
        said_after = None
        stolen = 0.0  # what this machine has taken away from us, and so from the program, too
        now = began
        while process.poll() is None and now - began - stolen < LIMIT:
            if case.goes_on and all(text in output.decode("utf-8", "replace") for text in [*says, '"serving"']):
                said_after = time.monotonic() - began
                process.send_signal(signal.SIGTERM)
                break
            time.sleep(0.02)
            stolen += max(0.0, time.monotonic() - now - 0.03)
            now = time.monotonic()
        took = (said_after or time.monotonic() - began) - stolen
        if process.poll() is None:
            try:
                process.wait(10 if said_after else 0.1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
                reader.join(5)
                text = output.decode("utf-8", "replace")
                check(False, f"it has not ended after {LIMIT} s: {text[-600:]}" if not case.goes_on
                      else f"not said within {LIMIT} s: {[t for t in says if t not in text]}: {text[-900:]}")
        reader.join(5)
        text = output.decode("utf-8", "replace")
        missing = [part for part in says if part not in text]
        check(not missing, f"does not say {missing}: {text[-900:]}")
        said = [part for part in case.says_not if part in text]
        check(not said, f"says {said}: {text[-900:]}")
        check(process.returncode == case.code, f"ended with {process.returncode}, expected {case.code}: {text[-600:]}")
        check(took < LIMIT, f"took {took:.1f} s")
        trace = TRACES.search(text)
        check(not trace, f"a trace: {trace and trace.group()}: {text[-600:]}")
        for secret in ("s3cr3t-value", "bridge-secret", "stranger-secret", "key-passphrase"):
            check(secret not in text, f"tells a secret: {secret}")
        line = next((line for line in text.splitlines() if says and says[0] in line), "").replace(self.folder, "…").strip()
        self.rows.append((case.command, case.name, line.replace("|", "\\|"), case.code, f"{took:.1f}"))
        return took


def weak_topics(runner, cluster):
    """Topics of which one is weak in one way each, by prefix."""
    prefixes = {name: f"weak-{name}" for name in cases.WEAK_TOPICS}
    for name, prefix in prefixes.items():
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SMSBRIDGE_")}
        subprocess.run(
            [runner.binary, "topics", "create", "--kafka-bootstrap-servers", f"127.0.0.1:{cluster.plain}", "--topics-prefix",
             prefix, "--topics-partitions", "1"], env=environment, check=True, capture_output=True, timeout=60)
        if cases.WEAK_TOPICS[name]:
            cluster.tool("configs", "--alter", "--entity-type", "topics", "--entity-name", f"{prefix}.reply", "--add-config",
                         ",".join(cases.WEAK_TOPICS[name]))
    cluster.allow("bridge", prefixes["seen"], "Describe")
    cluster.allow("bridge", prefixes["good"], "Write", "DescribeConfigs")
    cluster.allow("bridge", prefixes["read"], "Read")
    # Where `quarantine` keeps the offsets that it has processed.
    cluster.allow("bridge", f"smsbridge-redecode-{prefixes['read']}", "Read")
    # Dead letters of two groups: the user may read those of one, and redrive those of the other.
    for group in ("read", "written"):
        for kind in ("dlt", "redrive"):
            cluster.tool("topics", "--create", "--topic", f"{group}.crm-{kind}", "--partitions", "1", "--replication-factor", "1")
        cluster.allow("bridge", group, "Read")
        cluster.allow("bridge", f"smsbridge-dlt-{group}", "Read")
    cluster.allow("bridge", "written", "Write")
    cluster.allow("bridge", "smsbridge-dlt-written", "Write", "Create")
    # It publishes test events, so that there is something to read.
    subprocess.run([runner.binary, "check", "--kafka-bootstrap-servers", f"127.0.0.1:{cluster.plain}", "--topics-prefix",
                    prefixes["read"]], env={**environment, "SMSBRIDGE_AUTH_NONE": "true"}, capture_output=True, timeout=60)
    return prefixes


def of_writing(runner, cluster, prefixes):
    """The cases of commands that write, with what they write: files of callbacks and records, and spools with an event."""
    def file(name, *lines):
        path = os.path.join(runner.folder, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write("".join(json.dumps(line) + "\n" for line in lines))
        return path

    callbacks = file("callbacks.ndjson", {
        "method": "POST", "route": "reply", "contentType": "application/json",
        "receivedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "body": json.dumps({"Id": 1, "To": "1", "Message": "x", "Msisdn": "27000000009"})})
    record = file("record.ndjson", {
        "topic": f"{prefixes['seen']}.reply", "timestamp": int(time.time() * 1000), "key": None, "headers": {}, "value": {"type": "reply"}})
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SMSBRIDGE_")}
    # One for each case: they run at the same time.
    spools = [os.path.join(runner.folder, f"spool-with-an-event-{number}") for number in range(4)]
    for spool in spools:
        subprocess.run([runner.binary, "spool", "import", record, "--path", spool, "--topics-prefix", prefixes["seen"],
                        "--spool-any-file-system", "--execute"], env=environment, check=True, capture_output=True, timeout=60)
    return cases.of_writing(cluster, prefixes, callbacks, record, spools)


def what_is_right(runner, cluster, prefixes):
    """Without it, a table of failures shows nothing: the least permissions, by both ways of logging in, are enough."""
    cluster.allow("CN=good", prefixes["good"], "Write", "DescribeConfigs")
    path = cluster.certificates.path
    ways = {
        "the least permissions by SASL_SSL": {
            "SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{cluster.sasl}", "SMSBRIDGE_KAFKA_PROPERTIES_SECURITY_PROTOCOL": "sasl_ssl",
            "SMSBRIDGE_KAFKA_PROPERTIES_SASL_MECHANISM": "PLAIN", "SMSBRIDGE_KAFKA_PROPERTIES_SASL_USERNAME": "bridge",
            "SMSBRIDGE_KAFKA_PROPERTIES_SASL_PASSWORD": "bridge-secret", "SMSBRIDGE_KAFKA_PROPERTIES_SSL_CA_LOCATION": cluster.ca},
        "the least permissions by a client certificate": {
            "SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{cluster.mutual}", "SMSBRIDGE_KAFKA_PROPERTIES_SECURITY_PROTOCOL": "ssl",
            "SMSBRIDGE_KAFKA_PROPERTIES_SSL_CA_LOCATION": cluster.ca,
            "SMSBRIDGE_KAFKA_PROPERTIES_SSL_CERTIFICATE_LOCATION": path("good.pem"),
            "SMSBRIDGE_KAFKA_PROPERTIES_SSL_KEY_LOCATION": path("good.key")},
        "the least permissions by a client certificate whose key is locked": {
            "SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{cluster.mutual}", "SMSBRIDGE_KAFKA_PROPERTIES_SECURITY_PROTOCOL": "ssl",
            "SMSBRIDGE_KAFKA_PROPERTIES_SSL_CA_LOCATION": cluster.ca,
            "SMSBRIDGE_KAFKA_PROPERTIES_SSL_CERTIFICATE_LOCATION": path("good.pem"),
            "SMSBRIDGE_KAFKA_PROPERTIES_SSL_KEY_LOCATION": path("locked.key"),
            "SMSBRIDGE_KAFKA_PROPERTIES_SSL_KEY_PASSWORD": "key-passphrase"},
    }
    # A cluster of one broker always fails for its replication; of permissions nothing may be missing.
    return [cases.Case(name, ["ok          rights", "may write to all topics", "ok          publish: acknowledged", "2 failed"], code=1,
                       command="check", env=env, args=["--topics-prefix", prefixes["good"], "--topics-create=false"])
            for name, env in ways.items()]


def main():
    parser = argparse.ArgumentParser(prog="Tests/WrongConfigurations/run", description=__doc__)
    parser.add_argument("--binary", default=os.path.join(ROOT, ".build", "debug", "smsbridge"))
    parser.add_argument("--kafka-start", default=os.environ.get("KAFKA_START"),
                        help="a script that starts a broker, with `stop` and `tool` beside it; without it those cases are left out")
    parser.add_argument("--only", help="cases whose name has this in it")
    parser.add_argument("--long", action="store_true", help="every wrong situation with every command that reads")
    parser.add_argument("--table", metavar="FILE", help="writes what was said, the exit code and the seconds of each, as Markdown")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each case that passed, too")
    options = parser.parse_args()
    report = Report(options.verbose)
    folder = tempfile.mkdtemp(prefix="smsbridge-wrong-")
    runner = Runner(os.path.abspath(options.binary), folder)
    cluster = None
    longest = (0, "")
    of_commands = []
    taken, silent = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    table = cases.of_settings(folder) + cases.of_machine(folder, taken.getsockname()[1], silent.getsockname()[1])
    try:
        if options.kafka_start:
            cluster = Cluster(options.kafka_start, folder)
            prefixes = weak_topics(runner, cluster)
            table += cases.of_cluster(cluster, prefixes) + what_is_right(runner, cluster, prefixes)
            of_commands = cases.of_commands(cluster, prefixes, options.long) + of_writing(runner, cluster, prefixes)
        else:
            report.skip("wrong configurations of and towards a Kafka", "KAFKA_START is not set")
        for case in table:
            if options.only and options.only not in case.name:
                continue
            with report.case(f"{case.command}: {case.name}"):
                longest = max(longest, (runner.run(case), case.name))
        # They share nothing and mostly wait.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            runs = [(case, pool.submit(runner.run, case)) for case in of_commands
                    if not options.only or options.only in case.name]
            for case, run in runs:
                with report.case(f"{case.command}: {case.name}"):
                    took = run.result()
                    longest = max(longest, (took, case.name))
                    if options.verbose:
                        print(f"      {took:.1f} s", flush=True)
    except Exception as error:  # before the cases: no Kafka
        with report.case("what the cases need is there"):
            raise error
    finally:
        for listener in (taken, silent):
            listener.close()
        if cluster:
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if options.table:
        with open(options.table, "w", encoding="utf-8") as file:
            file.write("| command | situation | message | exit code | seconds |\n|---|---|---|---:|---:|\n")
            file.writelines("| " + " | ".join(str(cell) for cell in row) + " |\n" for row in sorted(runner.rows))
    print(f"{len(table) + len(of_commands)} wrong configurations; the longest answer took {longest[0]:.1f} s ({longest[1]})")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
