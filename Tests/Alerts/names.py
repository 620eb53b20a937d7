"""Holds the names in the alert rules, the Grafana dashboard and docs/operate.md against a scrape of a running bridge, and the
rules, the runbook and the status page against each other.

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
        # A file of secrets: some metrics are those of what is read again.
        secrets = os.path.join(folder, "secrets")
        with open(secrets, "w", encoding="ascii") as file:
            file.write("a-secret-of-the-test\n")
        environment["SMSBRIDGE_AUTH_HEADER_SECRETS_FILE"] = secrets
        # And a certificate, for the metrics of its expiry.
        certificate, key = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                        "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        environment["SMSBRIDGE_HTTP_TLS_CERTIFICATE"], environment["SMSBRIDGE_HTTP_TLS_KEY"] = certificate, key
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


# What an instance cannot tell of itself, so that its page has it not.
UNSEEN = {"SmsbridgeDown", "SmsbridgeAbsent", "SmsbridgeRestarts"}


def check_runbook(rules, alerts):
    """One entry per alert and none beside, with the rule's severity and everything that an entry says."""
    runbook = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    entries = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", runbook, re.M | re.S))
    for name in sorted(set(alerts) - set(entries)):
        yield f"docs/runbook.md has no entry for {name}"
    for name in sorted(set(entries) - set(alerts)):
        yield f"docs/runbook.md has an entry for {name}, which no rule has"
    if list(entries) != alerts and set(entries) == set(alerts):
        yield "the entries of docs/runbook.md are not in the order of the rules"
    for name, body in re.findall(r"^ +- alert: (\w+)$(.*?)(?=^ +- alert: |\Z)", rules, re.M | re.S):
        severity = re.search(r"^ +severity: (\S+)$", body, re.M)
        target = re.search(r'^ +runbook_url: "{{ with \$externalLabels.smsbridge_runbook_url }}{{ . }}#(\w+){{ else }}(\S+|http://'
                           r'{{ \$labels.instance }}/runbook/(\w+)){{ end }}"$', body, re.M)
        if not target or target.group(1) != name.lower() or target.group(3) not in (name, None):
            yield f"{name} does not lead to its entry in docs/runbook.md"
        if name in entries and (not severity or not entries[name].startswith(f"{severity.group(1)}. ")):
            yield f"the entry of {name} does not begin with the rule's severity"
    for name, entry in entries.items():
        for part in ("**Look at**", "**Do**", "**Ends**"):
            if part.lower() not in entry.lower():
                yield f"the entry of {name} lacks {part}"
    page = {name for path in (ROOT / "Sources/Bridge/Operations").rglob("*.swift")
            for name in re.findall(r'"(Smsbridge\w+)"', path.read_text(encoding="utf-8"))}
    for name in sorted(page ^ (set(alerts) - UNSEEN)):
        yield f"{name} is on the status page or in the rules, but not in both"


def check_dashboard(metrics, alerts):
    """That Grafana can take it, that nothing in it is misplaced or unnamed, that its PromQL parses and its metrics are there."""
    text = (ROOT / "deploy/grafana/smsbridge.json").read_text(encoding="utf-8")
    board = json.loads(text)
    for key, kind in {"title": str, "uid": str, "schemaVersion": int, "panels": list, "templating": dict, "time": dict}.items():
        if not isinstance(board.get(key), kind):
            yield f"the dashboard has no {key}"
    if "__inputs" in board or board.get("id") is not None:
        yield "the dashboard is bound to the Grafana that it was made in"
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    if list(variables) != ["datasource", "instance"] or variables["datasource"]["type"] != "datasource":
        yield "the dashboard does not choose its data source and its instances, in that order"
    panels = board["panels"]
    if len({panel["id"] for panel in panels}) != len(panels):
        yield "two panels have one id"
    if not panels or panels[0]["type"] != "row":
        yield "the dashboard does not begin with a row"
    taken, expressions = set(), {}
    for panel in panels:
        place, name = panel["gridPos"], panel["title"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        if cells & taken or place["x"] + place["w"] > 24:
            yield f"the panel {name} overlaps another"
        taken |= cells
        if panel["type"] == "row":
            continue
        if panel["type"] not in ("stat", "timeseries", "state-timeline", "table"):
            yield f"the panel {name} is of a type that nobody has looked at: {panel['type']}"
        if not panel.get("description"):
            yield f"the panel {name} has no description"
        for alert in re.findall(r"Smsbridge\w+", panel.get("description", "")):
            if alert not in alerts:
                yield f"the panel {name} speaks of {alert}, which no rule has"
        for target in panel["targets"]:
            if panel["datasource"]["uid"] != "${datasource}" or target["datasource"]["uid"] != "${datasource}":
                yield f"the panel {name} does not use the chosen data source"
            if "$instance" not in target["expr"] and "ALERTS" not in target["expr"]:
                yield f"the panel {name} does not heed the chosen instances"
            expressions[f"{name} {target['refId']}"] = target["expr"]
    for note in board["annotations"]["list"]:
        if "expr" in note:
            expressions[f"annotation {note['name']}"] = note["expr"]
    for name, expression in expressions.items():
        for metric in sorted({SAMPLE.sub("", found) for found in re.findall(OURS, expression)} - metrics):
            yield f"the panel {name} names {metric}, which no scrape has"
    for metric in sorted({SAMPLE.sub("", found) for found in re.findall(OURS, variables["instance"]["definition"])} - metrics):
        yield f"the variable instance names {metric}, which no scrape has"
    with tempfile.TemporaryDirectory() as folder:
        # As rules, so that Prometheus's own parser judges them.
        rules = [{"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m").replace("$instance", ".*")}
                 for number, expression in enumerate(expressions.values())]
        path = os.path.join(folder, "panels.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"groups": [{"name": "panels", "rules": rules}]}, file)
        judged = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, timeout=60)
        if judged.returncode != 0:
            yield f"PromQL of the dashboard: {judged.stderr.strip()}"
    if len(expressions) < 20:
        yield f"the dashboard has only {len(expressions)} expressions"


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
    for part in ("for", "severity", "summary", "description", "runbook_url"):
        if len(re.findall(rf"^ +{part}: \S", rules, re.M)) != len(alerts):
            problems.append(f"not every rule has `{part}`")
    problems += check_runbook(rules, alerts)
    problems += check_dashboard(metrics, alerts)
    if not alerts or not named or len(metrics) < 30:
        problems.append(f"too little was found: {len(alerts)} alerts, {len(named)} names in rules, {len(metrics)} metrics")
    for problem in problems:
        print(problem)
    print(f"{len(alerts)} alerts, {len(named)} metrics in them, {len(metrics)} in a scrape, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
