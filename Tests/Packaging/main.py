"""What deploy/ and docker-compose.yml say of the bridge, held against the bridge.

Each way of deploying is started as its files describe it, with their settings, variables, ports and secrets: only the folders
that they mount are elsewhere, and there is no Kafka. So a setting that does not exist, a wrong port, a probe of a path that is
not there, one that is red while Kafka is away, and a grace that is too short are found. Run by Tests/Packaging/run, in a network
namespace of its own, so that the ports are free.
"""

import http.client
import json
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = sys.argv[1]
REPLY = b'{"Message":"Yes","Msisdn":"27123456789","Id":"1"}'
UNIT = ROOT / "deploy/systemd/smsbridge.service"

passed = failed = 0


def check(what: str, problem: str | None) -> None:
    global passed, failed
    if problem is None:
        passed += 1
        print(f"ok      {what}")
    else:
        failed += 1
        print(f"FAIL {what}: {problem}")


def seconds(text: object) -> float:
    """A duration of compose, of systemd or of the bridge."""
    units = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600}
    parts = re.findall(r"(\d+)(ms|min|s|m|h)", str(text))
    return sum(int(number) * units[unit] for number, unit in parts) if parts else float(str(text))


def documents(path: str) -> list[dict]:
    with open(ROOT / path, encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document]


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    return connection.getresponse().status


class Deployment:
    """The bridge as one set of files describes it."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str], files: dict[str, str]):
        self.name = name
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="packaging-"))
        (self.folder / "var/lib/smsbridge").mkdir(parents=True)
        for place, text in files.items():
            path = self.folder / place.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.moved(text), encoding="utf-8")
            path.chmod(0o600)
        self.log = self.folder / "log"
        self.process = subprocess.Popen(
            [BINARY] + [self.moved(argument) for argument in arguments],
            env={"SMSBRIDGE_LOG_FORMAT": "json"} | {key: self.moved(value) for key, value in environment.items()},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.log, "wb"),
        )

    def moved(self, text: str) -> str:
        """Absolute places below this deployment's own folder."""
        return re.sub(r"/(?=(?:etc|run/secrets|var/lib)/smsbridge)", f"{self.folder}/", text)

    def lines(self) -> list[dict]:
        parsed = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            try:
                parsed.append(json.loads(line))
            except ValueError:
                parsed.append({"message": line, "level": "error"})
        return parsed

    def serves(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            if any(line["message"] == "serving" for line in self.lines()):
                return check(f"{self.name}: serves with its settings", None)
            time.sleep(0.05)
        self.process.kill()
        check(f"{self.name}: serves with its settings", self.log.read_text(encoding="utf-8")[-2000:])

    def listens(self, port: str, number: int) -> None:
        """`port`: address (public) or admin."""
        serving = next((line for line in self.lines() if line["message"] == "serving"), {})
        found = serving.get(port, "").rpartition(":")[2]
        check(f"{self.name}: port {number} is the bridge's {port}", None if found == str(number) else f"it is {found}")

    def answers(self, what: str, port: int, path: str, expected: int = 200) -> None:
        # Until the first question to Kafka has failed, nothing is known.
        end = time.monotonic() + 30
        while not any(line["message"] == "Kafka does not answer" for line in self.lines()) and time.monotonic() < end:
            time.sleep(0.1)
        try:
            status = get(port, path)
            check(f"{self.name}: {what} {path} with Kafka away", None if status == expected else f"answers {status}")
        except OSError as error:
            check(f"{self.name}: {what} {path}", f"port {port}: {error}")

    def takes(self, port: int, secret: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/webhooks/reply", REPLY, {"X-Webhook-Secret": secret})
        status = connection.getresponse().status
        check(f"{self.name}: a callback with the secret", None if status == 200 else f"answered {status}")

    def knows_its_variables(self) -> None:
        unknown = [line for line in self.lines() if "SMSBRIDGE_" in line["message"] and line["level"] == "warning"]
        check(f"{self.name}: every variable is a setting", "; ".join(line["message"] for line in unknown) or None)

    def ends(self, grace: float) -> None:
        deadline = 25.0
        for line in self.lines():
            if line.get("key") == "shutdown.deadline":
                deadline = seconds(line["value"])
        check(
            f"{self.name}: {grace:g} s of grace are enough for a shutdown.deadline of {deadline:g} s",
            None if grace >= deadline + 5 else "5 s more are needed",
        )
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(grace)
            check(f"{self.name}: ends within its grace", None if code == 0 else f"exit code {code}")
        except subprocess.TimeoutExpired:
            self.process.kill()
            check(f"{self.name}: ends within its grace", "killed")


def kubernetes() -> None:
    folder = "deploy/kubernetes"
    parts = {}
    kustomization = documents(f"{folder}/kustomization.yaml")[0]
    for name in kustomization["resources"]:
        for document in documents(f"{folder}/{name}"):
            parts[document["kind"], document["metadata"]["name"]] = document
    pod_template = parts["StatefulSet", "smsbridge"]["spec"]["template"]
    pod = pod_template["spec"]
    container = pod["containers"][0]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    secret = documents(f"{folder}/secret.example.yaml")[0]
    files = {}
    for name, volume in volumes.items():
        if "configMap" in volume:
            data = parts["ConfigMap", volume["configMap"]["name"]]["data"]
        else:
            check(
                "kubernetes: the Secret of the example is the one that is mounted",
                None if volume["secret"]["secretName"] == secret["metadata"]["name"] else "it is another",
            )
            data = secret["stringData"]
        files |= {f"{mounts[name]}/{key}": text for key, text in data.items()}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    labels = pod_template["metadata"]["labels"].items()
    selectors = [
        ("Service smsbridge", parts["Service", "smsbridge"]["spec"]["selector"]),
        ("Service smsbridge-private", parts["Service", "smsbridge-private"]["spec"]["selector"]),
        ("PodDisruptionBudget", parts["PodDisruptionBudget", "smsbridge"]["spec"]["selector"]["matchLabels"]),
        ("NetworkPolicy", parts["NetworkPolicy", "smsbridge"]["spec"]["podSelector"]["matchLabels"]),
    ]
    for what, selector in selectors:
        check(f"kubernetes: {what} selects the pods", None if selector.items() <= labels else f"{selector}")
    monitor = documents(f"{folder}/servicemonitor.yaml")[0]["spec"]
    service = parts["Service", "smsbridge-private"]
    monitored = monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    check("kubernetes: the ServiceMonitor selects the private Service", None if monitored else "it does not")
    named = {port["name"] for port in service["spec"]["ports"]} >= {end["port"] for end in monitor["endpoints"]}
    check("kubernetes: the ServiceMonitor's port is the Service's", None if named else "it is not")
    job = service["metadata"]["labels"].get(monitor["jobLabel"])
    check("kubernetes: the job of the ServiceMonitor is the alert rules'", None if job == "smsbridge" else f"it is {job}")
    for (kind, name), document in parts.items():
        if kind == "Service":
            targets = {port["targetPort"] for port in document["spec"]["ports"]}
            check(f"kubernetes: Service {name} leads to a port", None if targets <= set(ports) else f"{targets}")

    environment = {entry["name"]: entry["value"] for entry in container.get("env", [])}
    # A text that is no certificate would end it: the system's own take its place.
    files[f"{mounts['secrets']}/kafka-ca.pem"] = CERTIFICATES
    deployment = Deployment("kubernetes", container["args"], environment, files)
    deployment.serves()
    deployment.listens("address", ports["http"])
    deployment.listens("admin", ports["admin"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        target = container[probe]["httpGet"]
        deployment.answers(probe, ports[target["port"]], target["path"])
    deployment.takes(ports["http"], secret["stringData"]["webhook-secret"])
    deployment.knows_its_variables()
    deployment.ends(pod["terminationGracePeriodSeconds"])


def compose() -> None:
    services = documents("docker-compose.yml")[0]["services"]
    service = services["smsbridge"]
    # ${NAME:-default}
    environment = {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for key, value in service["environment"].items()}
    deployment = Deployment("compose", ["serve"], environment, {})
    deployment.serves()
    published = {int(port.rsplit(":", 1)[1]): port for port in service["ports"]}
    deployment.listens("address", 8080)
    deployment.listens("admin", 9464)
    check("compose: both ports are published", None if set(published) == {8080, 9464} else f"{published}")
    for name, other in services.items():
        for port in other.get("ports", []):
            check(f"compose: {port} of {name} is on loopback", None if port.startswith("127.0.0.1:") else "it is not")
    url = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", service["healthcheck"]["test"][-1])
    deployment.answers("healthcheck", int(url.group(1)), url.group(2))
    deployment.takes(8080, environment["SMSBRIDGE_AUTH_HEADER_SECRETS"])
    deployment.knows_its_variables()
    deployment.ends(seconds(service["stop_grace_period"]))
    image = re.findall(r'^HEALTHCHECK .*\\\n.*"http://127\.0\.0\.1:(\d+)(/\w+)"', (ROOT / "Dockerfile").read_text(), re.M)
    check("image: its health check asks the private port", None if image == [("9464", "/healthz")] else f"{image}")
    scraped = documents("deploy/prometheus/prometheus.yml")[0]["scrape_configs"][0]["static_configs"][0]["targets"]
    check("compose: Prometheus scrapes the bridge's private port", None if scraped == ["smsbridge:9464"] else f"{scraped}")


def systemd() -> None:
    options: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        name, is_option, value = line.partition("=")
        if is_option and not line.startswith("#"):
            options.setdefault(name, []).append(value)
    settings = (ROOT / "deploy/systemd/smsbridge.yaml").read_text(encoding="utf-8")
    files = {
        "/etc/smsbridge/smsbridge.yaml": settings,
        "/etc/smsbridge/webhook-secret": "secret-of-the-unit\n",
        "/etc/smsbridge/kafka-password": "password\n",
        "/etc/smsbridge/kafka-ca.pem": CERTIFICATES,
    }
    environment = dict(entry.split("=", 1) for entry in options["Environment"])
    deployment = Deployment("systemd", shlex.split(options["ExecStart"][0])[1:], environment, files)
    deployment.serves()
    deployment.answers("liveness", 9464, "/healthz")
    deployment.takes(8080, "secret-of-the-unit")
    deployment.knows_its_variables()
    path = yaml.safe_load(settings)["spool"]["path"]
    state = f"/var/lib/{options['StateDirectory'][0]}"
    check("systemd: the spool is in the StateDirectory", None if path == state else f"{path} is not {state}")
    deployment.ends(seconds(options["TimeoutStopSec"][0]))


CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_text(encoding="utf-8")

if __name__ == "__main__":
    kubernetes()
    compose()
    systemd()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
