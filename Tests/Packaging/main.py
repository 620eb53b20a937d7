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
# The overlays of deploy/kubernetes as Kustomize renders them; none where there is no Kustomize.
RENDERED = [pathlib.Path(path) for path in sys.argv[2:]]
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


KUBERNETES = "deploy/kubernetes"


def check_manifests(name: str, parts: dict[tuple[str, str], dict]) -> None:
    """What every installation on Kubernetes must have: of the plain manifests and of each rendered overlay."""
    pod_template = parts["StatefulSet", "smsbridge"]["spec"]["template"]
    pod = pod_template["spec"]
    container = pod["containers"][0]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    check(
        f"{name}: applying it writes no Secret, so none is overwritten",
        None if "Secret" not in {kind for kind, _ in parts} else "it has one",
    )
    secret_name = documents(f"{KUBERNETES}/examples/secret.yaml")[0]["metadata"]["name"]
    mounted = volumes["secrets"]["secret"]["secretName"]
    check(f"{name}: the Secret of the example is the one that is mounted", None if mounted == secret_name else mounted)
    # Without fsGroup, which podman does not know, the files belong to root.
    mode = volumes["secrets"]["secret"]["defaultMode"]
    check(f"{name}: the secrets are readable without fsGroup", None if mode & 0o004 else f"defaultMode is {mode:04o}")
    settings = volumes["settings"]["configMap"]["name"]
    check(f"{name}: the settings are mounted", None if ("ConfigMap", settings) in parts else f"no ConfigMap {settings}")
    liveness = container["livenessProbe"]
    grace = liveness.get("terminationGracePeriodSeconds", pod["terminationGracePeriodSeconds"])
    away = liveness["periodSeconds"] * liveness["failureThreshold"] + liveness["timeoutSeconds"] + grace
    check(f"{name}: a frozen instance is killed within 25 s", None if away <= 25 else f"it takes {away} s")
    spread = {constraint["topologyKey"] for constraint in pod["topologySpreadConstraints"]}
    wanted = {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    check(f"{name}: instances are spread over nodes and zones", None if spread == wanted else f"{spread}")
    labels = pod_template["metadata"]["labels"].items()
    selectors = [
        ("Service smsbridge", parts["Service", "smsbridge"]["spec"]["selector"]),
        ("Service smsbridge-private", parts["Service", "smsbridge-private"]["spec"]["selector"]),
        ("PodDisruptionBudget", parts["PodDisruptionBudget", "smsbridge"]["spec"]["selector"]["matchLabels"]),
        ("NetworkPolicy", parts["NetworkPolicy", "smsbridge"]["spec"]["podSelector"]["matchLabels"]),
    ]
    for what, selector in selectors:
        check(f"{name}: {what} selects the pods", None if selector.items() <= labels else f"{selector}")
    ports = {port["name"] for port in container["ports"]}
    for (kind, service), document in parts.items():
        if kind == "Service":
            targets = {port["targetPort"] for port in document["spec"]["ports"]}
            check(f"{name}: Service {service} leads to a port", None if targets <= ports else f"{targets}")
    scalers = {kind for kind, _ in parts if "Autoscaler" in kind}
    check(f"{name}: nothing removes instances by itself", None if not scalers else f"{scalers}")


def check_monitors(parts: dict[tuple[str, str], dict]) -> None:
    """Both kinds of metrics job select what they are to scrape, under the job name of the alert rules."""
    service = parts["Service", "smsbridge-private"]
    pod_template = parts["StatefulSet", "smsbridge"]["spec"]["template"]
    pod_ports = {port["name"] for port in pod_template["spec"]["containers"][0]["ports"]}
    for kind, endpoints, labels, ports in (
        ("ServiceMonitor", "endpoints", service["metadata"]["labels"], {p["name"] for p in service["spec"]["ports"]}),
        ("PodMonitor", "podMetricsEndpoints", pod_template["metadata"]["labels"], pod_ports),
    ):
        monitor = documents(f"{KUBERNETES}/components/{kind.lower()}/{kind.lower()}.yaml")[0]["spec"]
        selects = monitor["selector"]["matchLabels"].items() <= labels.items()
        check(f"kubernetes: the {kind} selects the instances", None if selects else "it does not")
        named = ports >= {end["port"] for end in monitor[endpoints]}
        check(f"kubernetes: the {kind} scrapes the private port", None if named else "it does not")
        job = labels.get(monitor["jobLabel"])
        check(f"kubernetes: the job of the {kind} is the alert rules'", None if job == "smsbridge" else f"it is {job}")


def by_kind(listed: list[dict]) -> dict[tuple[str, str], dict]:
    return {(document["kind"], document["metadata"]["name"]): document for document in listed}


# Groups of kinds that every cluster knows. The validator only warns of others.
BUILT_IN = {"", "apps", "autoscaling", "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io"}


def is_built_in(document: dict) -> bool:
    return document["apiVersion"].rpartition("/")[0] in BUILT_IN


def kubernetes() -> None:
    files = sorted((ROOT / KUBERNETES / "base/manifests").glob("*.yaml"))
    listed = [document for file in files for document in documents(str(file.relative_to(ROOT)))]
    unknown = [document["kind"] for document in listed if not is_built_in(document)]
    check("kubernetes: every cluster can apply the folder of manifests", f"{unknown}" if unknown else None)
    parts = by_kind([document for document in listed if is_built_in(document)])
    check_manifests("kubernetes", parts)
    check_monitors(parts)
    base = {f"{KUBERNETES}/base/{name}" for name in documents(f"{KUBERNETES}/base/kustomization.yaml")[0]["resources"]}
    left_out = {str(file.relative_to(ROOT)) for file in files} - base
    # The overlays bring settings of their own.
    expected = {f"{KUBERNETES}/base/manifests/configmap.yaml"}
    check("kubernetes: the overlays have every manifest", None if left_out == expected else f"without {left_out}")
    for path in RENDERED:
        name = f"overlay {path.name.split('.')[0]}"
        overlay = by_kind(documents(str(path)))
        check_manifests(name, overlay)
        # The settings' name ends with a digest of them: changed settings change the pods.
        settings = next(key[1] for key in overlay if key[0] == "ConfigMap")
        check(f"{name}: changed settings restart the pods", None if settings != "smsbridge" else "they do not")
        run_pod(name, overlay, is_probed=False)
    run_pod("kubernetes", parts)


def run_pod(name: str, parts: dict[tuple[str, str], dict], is_probed: bool = True) -> None:
    pod = parts["StatefulSet", "smsbridge"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    secret = documents(f"{KUBERNETES}/examples/secret.yaml")[0]["stringData"]
    files = {}
    for volume in pod["volumes"]:
        data = parts["ConfigMap", volume["configMap"]["name"]]["data"] if "configMap" in volume else secret
        files |= {f"{mounts[volume['name']]}/{key}": text for key, text in data.items()}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    environment = {entry["name"]: entry["value"] for entry in container.get("env", [])}
    # A text that is no certificate would end it: the system's own take its place.
    files[f"{mounts['secrets']}/kafka-ca.pem"] = CERTIFICATES
    deployment = Deployment(name, container["args"], environment, files)
    deployment.serves()
    if is_probed:
        deployment.listens("address", ports["http"])
        deployment.listens("admin", ports["admin"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            target = container[probe]["httpGet"]
            deployment.answers(probe, ports[target["port"]], target["path"])
    deployment.takes(ports["http"], secret["webhook-secret"])
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
    for name, other in services.items():
        # A crash is one thing, a restart of the engine another: both start it again, `docker compose stop` does not.
        policy = other.get("restart", "no")
        back = None if policy in ("unless-stopped", "always") else f"restart is {policy}"
        check(f"compose: {name} comes back after a restart of the engine", back)
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
