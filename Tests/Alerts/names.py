"""Holds the names in the alert rules and in docs/operate.md against a scrape of a running bridge.

The bridge has no Kafka: it meets errors at once, so that also the counters are there that begin with the first error."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = r"\b((?:smsbridge|process)_[a-z0-9_]+)\b"
# Prometheus knows a histogram by its samples, the table by its name.
SAMPLE = re.compile(r"_(bucket|sum|count)$")


def scrape(binary):
    """The names of all metrics of a bridge without a Kafka."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SMSBRIDGE_")}
        environment["SMSBRIDGE_AUTH_NONE"] = "true"
        with open(os.path.join(folder, "log"), "w+", encoding="utf-8") as log:
            process = subprocess.Popen(
                [binary, "serve", "--http-host", "127.0.0.1", "--http-port", "0", "--admin-port", "0",
                 "--kafka-bootstrap-servers", "127.0.0.1:1", "--spool-path", os.path.join(folder, "spool"),
                 "--spool-any-file-system", "--log-format", "json"],
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
            try:
                address, names = None, set()
                deadline = time.monotonic() + 60
                while time.monotonic() < deadline and "smsbridge_kafka_errors_total" not in names:
                    time.sleep(0.1)
                    if process.poll() is not None:
                        log.seek(0)
                        sys.exit(f"the bridge has ended:\n{log.read()}")
                    if address is None:
                        log.seek(0)
                        lines = (json.loads(line) for line in log.read().splitlines(keepends=True) if line.endswith("\n"))
                        address = next((line["admin"] for line in lines if "admin" in line), None)
                        log.seek(0, os.SEEK_END)
                    if address:
                        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                            names = set(re.findall(r"^# TYPE (\S+)", answer.read().decode(), re.M))
            finally:
                process.kill()
                process.wait()
    return names


def anchors(page):
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", page, re.M)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    metrics = scrape(os.path.abspath(parser.parse_args().binary))
    rules = (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    tests = (ROOT / "deploy/prometheus/alerts.test.yml").read_text(encoding="utf-8")
    page = (ROOT / "docs/operate.md").read_text(encoding="utf-8")

    alerts = re.findall(r"^ +- alert: (\w+)$", rules, re.M)
    expressions = re.findall(r"^ +expr: (.+)$", rules, re.M)
    named = {SAMPLE.sub("", name) for text in expressions for name in re.findall(OURS, text)}
    rows = [line for line in page.splitlines() if line.startswith("|")]
    documented = {name for line in rows for name in re.findall(r"`((?:smsbridge|process)_[a-z0-9_]+)`", line)}
    problems = [f"a rule names {name}, which no scrape has" for name in sorted(named - metrics)]
    problems += [f"docs/operate.md names {name}, which no scrape has" for name in sorted(documented - metrics)]
    problems += [f"{name} is missing in the tables of docs/operate.md" for name in sorted(metrics - documented)]
    for alert in alerts:
        if f'alertname="{alert}",alertstate="firing"' not in tests:
            problems.append(f"no test makes {alert} fire")
        if not any(f"`{alert}`" in line for line in rows):
            problems.append(f"{alert} is missing in the table of docs/operate.md")
    for part in ("for", "severity", "summary", "description", "runbook"):
        if len(re.findall(rf"^ +{part}: \S", rules, re.M)) != len(alerts):
            problems.append(f"not every rule has `{part}`")
    for target in re.findall(r"^ +runbook: (\S+)$", rules, re.M):
        name, _, anchor = target.partition("#")
        if name != "docs/operate.md" or anchor not in anchors(page):
            problems.append(f"no such runbook: {target}")
    if not alerts or not named or len(metrics) < 30:
        problems.append(f"too little was found: {len(alerts)} alerts, {len(named)} names in rules, {len(metrics)} metrics")
    for problem in problems:
        print(problem)
    print(f"{len(alerts)} alerts, {len(named)} metrics in them, {len(metrics)} in a scrape, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
