"""Measures the bridge against the C floor on one Kafka, in one run. Called by scripts/bench, which builds what it needs.

Floor and bridge take turns (floor, bridge, bridge, floor, …), each turn a fresh process; the figures are medians over the
turns. On one machine the broker takes most of the cores, so only the ratios mean anything.
"""

import argparse
import collections
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import instructions

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TICK = os.sysconf("SC_CLK_TCK")
SECRET = "benchmark-secret"  # authentication is on while we measure
HEADER = "X-Webhook-Secret"
AUTHENTICATION = f"{HEADER}: {SECRET}"
PARTITIONS = 6
INSTRUCTIONS = 28_000  # per event, without libcrypto: the budget


def note(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


class Subject:
    """A program under measurement: how to start it, and what to ask it."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], port: int, path: str, topic: str):
        self.name, self.command, self.environment = name, command, environment
        self.port, self.path, self.topic = port, path, topic
        self.process: subprocess.Popen | None = None

    def start(self, log: pathlib.Path, wrapper: list[str] | None = None) -> float:
        """Starts it and returns the seconds until its first 200."""
        with log.open("ab") as out:
            began = time.monotonic()
            self.process = subprocess.Popen(
                (wrapper or []) + self.command, env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )
        body = (
            b'{"Status":"DELIVRD","EventId":1179504595,"Mcc":655,"Mnc":"01","MsgCount":1,"Msisdn":"27820000000",'
            b'"Received":1530013907,"UserReference":"%024x"}' % time.monotonic_ns()
        )
        request = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{HEADER}: {SECRET}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        answer = b""
        while time.monotonic() - began < 60:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=30) as s:
                    s.sendall(request)
                    answer = s.recv(4096)
                    if answer.startswith(b"HTTP/1.1 200"):
                        return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.0005)
        self.stop()
        raise SystemExit(f"{self.name} did not answer 200 (last answer: {answer[:60]!r}); its log: {log}")

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=10)
            if status not in (0, -signal.SIGTERM):  # the floor knows no orderly end
                note(f"{self.name} ended with status {status}")
        except subprocess.TimeoutExpired:
            note(f"{self.name} did not end within 10 s of SIGTERM")
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self) -> None:
        """Ends it at once: what it would do on its way out is not measured."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self) -> tuple[float, float]:
        """VmRSS and VmHWM in MB (10^6 bytes)."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        value = lambda key: int(re.search(rf"^{key}:\s+(\d+) kB", status, re.M).group(1)) * 1024 / 1e6
        return value("VmRSS"), value("VmHWM")


def subjects(options: argparse.Namespace, work: pathlib.Path, for_callgrind: bool = False) -> list[Subject]:
    """The floor and what is measured against it: the bridge, or the floor again."""

    def floor(name: str) -> Subject:
        linger = instructions.LINGER_MS if for_callgrind else 1
        port = free_port()
        return Subject(name, [str(options.tools / "floor")], {"BOOTSTRAP": options.bootstrap, "PORT": str(port), "LINGER": str(linger)},
                       port, "/dlr", "t1")

    if options.bridge is None:
        return [floor("floor"), floor("floor-2")]
    port, admin = free_port(), free_port()
    # Under callgrind everything takes longer: no event may be late for it.
    slow = {"SMSBRIDGE_PUBLISH_LINGER": f"{instructions.LINGER_MS}ms", "SMSBRIDGE_PUBLISH_HEDGE": "5s", "SMSBRIDGE_PUBLISH_DEADLINE": "8s"}
    return [floor("floor"), Subject("bridge", [str(options.bridge), "serve"], {
        "SMSBRIDGE_HTTP_HOST": "127.0.0.1", "SMSBRIDGE_HTTP_PORT": str(port),
        "SMSBRIDGE_ADMIN_HOST": "127.0.0.1", "SMSBRIDGE_ADMIN_PORT": str(admin),
        "SMSBRIDGE_KAFKA_BOOTSTRAP_SERVERS": options.bootstrap, "SMSBRIDGE_TOPICS_PREFIX": "bench",
        "SMSBRIDGE_AUTH_HEADER_SECRETS": SECRET, "SMSBRIDGE_SPOOL_PATH": str(work / "spool"),
        "SMSBRIDGE_SHUTDOWN_DELAY": "0s",  # no balancer is watching
        **(slow if for_callgrind else {}),
        **dict(pair.split("=", 1) for pair in options.set),
    }, port, "/webhooks/delivery-status", "bench.delivery-status")]


def make_topics(options: argparse.Namespace) -> None:
    """Makes the floor's topic; the bridge makes its own."""
    subprocess.run([str(options.tools / "topic"), options.bootstrap, "t1", str(PARTITIONS)], check=True)


def wrk(subject: Subject, connections: int, seconds: float) -> dict:
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(HERE / "callbacks.lua"),
        f"http://127.0.0.1:{subject.port}", "--", subject.path, HEADER, SECRET,
    ]
    output = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"^RESULT (.*)$", output.stdout, re.M)
    if not found:
        raise SystemExit(f"wrk failed: {output.stdout}{output.stderr}")
    return json.loads(found.group(1))


def saturate(subject: Subject, connections: int, seconds: float) -> dict:
    before = subject.cpu_seconds()
    result = wrk(subject, connections, seconds)
    cpu = subject.cpu_seconds() - before
    answered = result["requests"] - result["bad_status"]
    errors = sum(result[key] for key in ("bad_status", "connect", "read", "write", "timeout"))
    return {
        "connections": connections, "answered": answered, "errors": errors, "cpu_s": cpu,
        "cpu_us_per_event": cpu / answered * 1e6 if answered else float("nan"),
        "requests_per_s": answered / (result["us"] / 1e6),
        "p50_ms": result["p50_ms"], "p99_ms": result["p99_ms"],
    }


def paced(tools: pathlib.Path, subject: Subject, rate: int, seconds: float, seed: int) -> dict:
    output = subprocess.run(
        [str(tools / "load"), str(subject.port), subject.path, "--rate", str(rate), "--seconds", str(seconds), "--warmup", "1",
         "--connections", "64", "--header", f"{HEADER}: {SECRET}", "--seed", str(seed)],
        capture_output=True, text=True,
    )
    if not output.stdout:
        raise SystemExit(f"load failed: {output.stderr}")
    return json.loads(output.stdout)


def records_in(bootstrap: str, topic: str) -> int | None:
    """The sum of a topic's end offsets, by kcat: the broker's own count of what was acknowledged."""
    if not shutil.which("kcat"):
        return None
    command = ["kcat", "-b", bootstrap, "-Q"]
    for partition in range(PARTITIONS):
        command += ["-t", f"{topic}:{partition}:-1"]
    output = subprocess.run(command, capture_output=True, text=True)
    offsets = re.findall(r"offset (\d+)", output.stdout)
    return sum(map(int, offsets)) if len(offsets) == PARTITIONS else None


# ---- where the time goes

KERNEL = [  # on the threads of the program itself; first match from the inside out
    (r"(sys_write|ksys_write|sys_writev|sys_sendto|sys_sendmsg)", "kernel: write of the answer"),
    (r"(sys_read|ksys_read|sys_readv|sys_recvfrom|sys_recvmsg)", "kernel: read of the request"),
    (r"(epoll_ctl)", "kernel: epoll_ctl"),
    (r"(epoll_p?wait|ep_poll)", "kernel: epoll_wait"),
    (r"(futex)", "kernel: futex"),
    (r"(accept|sys_close|sys_connect)", "kernel: accept, close"),
]
USER = [  # (module or shared object, function, stage), on demangled names
    (r"libcrypto|^COpenSSL", r"", "event id (SHA-256)"),
    (r"librdkafka|^Kafka\.|^CRDKafka", r"", "produce"),
    (r"^Publisher\.", r"", "produce"),
    (r"^Ingress\.", r"(?i)auth|secret|constantTime", "authenticate"),
    (r"^SMSPortalEvents\.", r"(?i)encode|emit|write|record|render|append|eventid|sha256", "encode"),
    (r"^SMSPortalEvents\.", r"", "decode"),
    (r"^HTTPServer\.", r"(?i)respond|answer|response|flush|write", "answer"),
    (r"^HTTPServer\.", r"(?i)pars|head|chunk|scan|field|target", "parse"),
    (r"^HTTPServer\.", r"", "connections"),
    (r"^Ingress\.", r"", "route"),
    (r"^Telemetry\.", r"", "telemetry"),
    (r"libuv|^EventLoop\.|^CUV", r"", "event loop"),
    (r"^floor$", r"", "floor: parse, produce, answer"),
]


def profile_perf(subject: Subject, seconds: float, work: pathlib.Path) -> dict[str, float] | None:
    """Samples of the CPU clock with call stacks by DWARF (Debian's libraries have no frame pointers)."""
    data = work / f"{subject.name}.perf"
    recorder = subprocess.Popen(
        ["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "--call-graph", "dwarf,8192", "-o", str(data), "-p", str(subject.pid),
         "--", "sleep", str(seconds)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wrk(subject, 64, seconds + 1)
    _, errors = recorder.communicate()
    script = subprocess.run(
        ["perf", "script", "-i", str(data), "--no-inline", "-F", "comm,tid,ip,sym,dso"], capture_output=True, text=True, errors="replace")
    data.unlink(missing_ok=True)
    if not script.stdout.strip():
        note(f"perf recorded nothing for {subject.name}: {errors.strip()}")
        return None
    samples = []
    for block in script.stdout.split("\n\n"):
        lines = [line for line in block.splitlines() if line.strip()]
        if not lines:
            continue
        frames = [re.match(r"\s+[0-9a-f]+ (.*) \((.*)\)$", line) for line in lines[1:]]
        samples.append((lines[0].strip(), [(f.group(1), f.group(2)) for f in frames if f]))
    names = sorted({symbol for _, frames in samples for symbol, _ in frames if symbol.startswith("$s")})
    readable = dict(zip(names, demangled(names)))
    stages: collections.Counter[str] = collections.Counter()
    for thread, frames in samples:
        stages[stage_of(thread, [(readable.get(symbol, symbol), dso) for symbol, dso in frames], subject)] += 1
    total = sum(stages.values())
    return {stage: count / total for stage, count in stages.most_common()}


def demangled(names: list[str], *options: str) -> list[str]:
    if not names or not shutil.which("swift"):
        return names
    output = subprocess.run(["swift", "demangle", "--compact", *options], input="\n".join(names) + "\n", capture_output=True, text=True)
    lines = output.stdout.splitlines()
    return lines if len(lines) == len(names) else names


def stage_of(thread: str, frames: list[tuple[str, str]], subject: Subject | None) -> str:
    if thread.startswith("rdk:"):
        return "librdkafka's threads"
    kernel = [symbol for symbol, dso in frames if "kernel" in dso or dso == "[vdso]"]
    if frames and "kernel" in frames[0][1]:
        for symbol in kernel:
            for pattern, stage in KERNEL:
                if re.search(pattern, symbol):
                    return stage
        return "kernel: other"
    for symbol, dso in frames:
        # The first of our modules named in a demangled symbol is where the function stands (or what it specialises).
        module = re.search(r"\b(HTTPServer|Ingress|SMSPortalEvents|Publisher|Kafka|EventLoop|Telemetry)\.", symbol)
        where = [os.path.basename(dso)] + ([module.group(0)] if module else [])
        if re.match(r"(lib(c|m|swift\w+|pthread)\b|ld-|\[vdso\])", where[0]):
            continue
        for place, function, stage in USER:
            if any(re.search(place, w) for w in where) and re.search(function, symbol):
                return stage
    return f"{'runtime and libc' if frames else 'unknown'}"


def stages_of(counted: instructions.Count) -> dict[str, float]:
    """Instructions per event by stage."""
    functions = counted.functions(inclusive=False, limit=1000)
    names = demangled([name if name.startswith("$s") else "_" for _, name, _ in functions])
    stages: collections.Counter[str] = collections.Counter()
    for (where, name, per_event), readable in zip(functions, names):
        stages[stage_of("", [(readable if name.startswith("$s") else name, where)], None)] += per_event
    return {"instructions in all, per event": sum(counted.by_object().values()), **dict(stages.most_common())}


# ---- the run

def turn(subject: Subject, options: argparse.Namespace, tools: pathlib.Path, work: pathlib.Path, number: int) -> dict:
    result: dict = {"subject": subject.name, "cold_start_ms": subject.start(work / f"{subject.name}.log") * 1000}
    try:
        wrk(subject, 64, options.warmup)
        begun = records_in(options.bootstrap, subject.topic)
        result["saturated"] = {str(c): saturate(subject, c, options.seconds) for c in options.connections}
        result["rss_mb"], result["peak_mb"] = subject.memory()
        result["paced"] = paced(tools, subject, options.rate, options.seconds, number + 1)
        answered = sum(s["answered"] for s in result["saturated"].values()) + result["paced"]["ok"]
        time.sleep(0.5)  # wrk leaves up to one request a connection unread when it ends
        ended = records_in(options.bootstrap, subject.topic)
        result["answered"] = answered
        result["in_kafka"] = ended - begun if begun is not None and ended is not None else None
    finally:
        subject.stop()
    for connections, s in result["saturated"].items():
        note(f"  {subject.name:7} {connections:>4} connections: {s['requests_per_s']:8.0f}/s  {s['cpu_us_per_event']:6.2f} µs CPU an event"
             f"  p99 {s['p99_ms']:.1f} ms  errors {s['errors']}")
    p = result["paced"]
    note(f"  {subject.name:7} {options.rate}/s: p50 {p['p50_ms']:.2f} ms  p99 {p['p99_ms']:.2f} ms   memory {result['rss_mb']:.1f} MB"
         f"   first 200 after {result['cold_start_ms']:.0f} ms")
    if result["in_kafka"] is not None and result["in_kafka"] < answered:
        raise SystemExit(f"{subject.name} answered 200 to {answered} callbacks and only {result['in_kafka']} are in Kafka")
    return result


def median_of(turns: list[dict], read) -> float:
    return statistics.median(read(t) for t in turns)


def report(turns: dict[str, list[dict]], options: argparse.Namespace, floor: str, bridge: str) -> list[dict]:
    rows = []

    def row(figure: str, read, unit: str, budget: float | None, at_most: bool = True, ratio: bool = True) -> None:
        f, b = median_of(turns[floor], read), median_of(turns[bridge], read)
        judged = b / f if ratio and f else b
        met = None if budget is None else (judged <= budget if at_most else judged >= budget)
        rows.append({"figure": figure, "unit": unit, "floor": f, "bridge": b, "ratio": b / f if f else None,
                     "budget": budget, "budget_is": "ratio" if ratio else "absolute", "met": met,
                     "spread": [[min(map(read, turns[s])), max(map(read, turns[s]))] for s in (floor, bridge)]})

    for c in options.connections:
        row(f"CPU per acknowledged event, {c} connections", lambda t, c=c: t["saturated"][str(c)]["cpu_us_per_event"], "µs", 1.3)
    for c in options.connections:
        row(f"requests per second, {c} connections", lambda t, c=c: t["saturated"][str(c)]["requests_per_s"], "/s", 0.85, at_most=False)
    row(f"p50 at {options.rate}/s", lambda t: t["paced"]["p50_ms"], "ms", 1.1)
    row(f"p99 at {options.rate}/s", lambda t: t["paced"]["p99_ms"], "ms", 1.5)
    row("resident memory at full load", lambda t: t["rss_mb"], "MB", 32, ratio=False)
    row("peak resident memory", lambda t: t["peak_mb"], "MB", None)
    row("cold start to the first 200", lambda t: t["cold_start_ms"], "ms", 50, ratio=False)
    return rows


def show(rows: list[dict], floor: str, bridge: str, judge: bool) -> None:
    print(f"\n| figure | {floor} | {bridge} | ratio | budget | |")
    print("|---|---:|---:|---:|---:|---|")
    for r in rows:
        budget = "" if r["budget"] is None else f"{r['budget']:g}" + ("" if r["budget_is"] == "ratio" else f" {r['unit']}")
        verdict = "" if r["met"] is None or not judge else ("met" if r["met"] else "**missed**")
        digits = 0 if r["unit"] in ("/s", "") else 1 if r["unit"] == "MB" else 2
        ratio = f"{r['ratio']:.2f}" if r["ratio"] is not None else ""
        print(f"| {r['figure']} | {r['floor']:.{digits}f} {r['unit']} | {r['bridge']:.{digits}f} {r['unit']} | {ratio} | {budget} | {verdict} |")


def show_profile(profiles: dict[str, dict[str, float] | None], unit: str) -> None:
    subjects = [name for name, stages in profiles.items() if stages]
    if not subjects:
        return
    stages: list[str] = []
    for name in subjects:
        stages += [stage for stage in profiles[name] if stage not in stages]
    stages.sort(key=lambda stage: -max(profiles[name].get(stage, 0) for name in subjects))
    print(f"\n| where the time goes ({unit}) | " + " | ".join(subjects) + " |\n|---|" + "---:|" * len(subjects))
    for stage in stages:
        cells = [profiles[name].get(stage, 0) for name in subjects]
        print(f"| {stage} | " + " | ".join(f"{c:.1%}" if unit.startswith("share") else f"{c:,.0f}" for c in cells) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="The bridge against the C floor, on a real Kafka, in one run.")
    parser.add_argument("--bootstrap", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--bridge", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--seconds", type=float, default=8, help="length of each measurement (default 8)")
    parser.add_argument("--warmup", type=float, default=3, help="load before each turn's measurements (default 3)")
    parser.add_argument("--connections", type=lambda text: [int(n) for n in text.split(",")], default=[64, 256])
    parser.add_argument("--rate", type=int, default=2000, help="callbacks a second for p50 and p99 (default 2000)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="an environment variable for the bridge alone, e.g. SMSBRIDGE_PUBLISH_LINGER=5ms")
    parser.add_argument("--profile", choices=["auto", "perf", "callgrind", "none"], default="auto",
                        help="where the time goes: perf where it is there (auto), or instructions by callgrind instead")
    parser.add_argument("--self-check", action="store_true",
                        help="floor against floor, briefly: does the harness itself count right? Judges no time")
    parser.add_argument("--floor-only", action="store_true", help="floor against floor at full length: what a ratio of 1 looks like here")
    options = parser.parse_args()
    if options.self_check:
        options.rounds, options.seconds, options.warmup, options.connections, options.profile = 1, 2, 1, [64], "none"
        options.rate = 500

    work = pathlib.Path(tempfile.mkdtemp(prefix="smsbridge-bench-"))
    results = ROOT / ".build" / "bench"
    results.mkdir(parents=True, exist_ok=True)

    pair = subjects(options, work)
    make_topics(options)

    began = time.time()
    load_before = os.getloadavg()[0]
    if load_before > 0.5 and not options.self_check:
        note(f"something else runs here (load average {load_before:.2f}): the ratios will stray")
    first, second = pair
    # One start of each that is not counted: it makes the topics, and the binary is in the page cache afterwards.
    for subject in pair:
        subject.start(work / f"{subject.name}.log")
        subject.stop()
    turns: dict[str, list[dict]] = {subject.name: [] for subject in pair}
    for number in range(options.rounds):
        note(f"turn {number + 1} of {options.rounds}")
        for subject in (first, second) if number % 2 == 0 else (second, first):
            turns[subject.name].append(turn(subject, options, options.tools, work, number))

    profiles: dict[str, dict[str, float] | None] = {}
    kind = options.profile
    if kind == "auto":
        kind = "perf" if shutil.which("perf") else "none"
        if kind == "none":
            note("perf is not there: no profile by stage (--profile callgrind counts instructions instead)")
    per_event: dict[str, dict[str, float]] = {}
    for subject in () if options.self_check else subjects(options, work, for_callgrind=True):
        note(f"instructions of {subject.name}")
        counted = instructions.counts(subject, options.tools, work, options.connections, AUTHENTICATION)
        per_event[subject.name] = {str(c): counts[0].per_event() for c, counts in counted.items()}
        if kind == "callgrind":
            profiles[subject.name] = stages_of(counted[options.connections[0]][0])
    for subject in pair:
        if kind == "perf":
            note(f"profile of {subject.name}")
            subject.start(work / f"{subject.name}.log")
            try:
                wrk(subject, 64, options.warmup)
                profiles[subject.name] = profile_perf(subject, options.seconds, work)
            finally:
                subject.stop()

    rows = report(turns, options, first.name, second.name)
    for c in options.connections if per_event else ():
        f, b = (per_event[subject.name][str(c)] for subject in pair)
        rows.append({"figure": f"instructions per event, {c} connections", "unit": "", "floor": f, "bridge": b, "ratio": b / f,
                     "budget": INSTRUCTIONS, "budget_is": "absolute", "met": b <= INSTRUCTIONS})
    errors = sum(s["errors"] for name in turns for t in turns[name] for s in t["saturated"].values())
    errors += sum(t["paced"]["requests"] - t["paced"]["ok"] for name in turns for t in turns[name])
    counted = all(t["in_kafka"] is not None for name in turns for t in turns[name])
    show(rows, first.name, second.name, judge=second.name == "bridge")
    show_profile(profiles, "share of CPU samples" if kind == "perf" else "instructions an event")
    print(f"\n{options.rounds} turns of each, {options.seconds:g} s a measurement, {os.cpu_count()} cores, load average before "
          f"{load_before:.2f}; {errors} errors; " + ("every 200 is in Kafka by the broker's own count"
          if counted else "kcat is not there, so nothing was counted in Kafka"))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began))
    file = results / f"{'self-check' if options.self_check else 'bench'}-{stamp}.json"
    file.write_text(json.dumps({
        "began": stamp, "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "load_before": load_before},
        "options": {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(options).items()},
        "rows": rows, "turns": turns, "profile": {"kind": kind, "stages": profiles}, "errors": errors,
    }, indent=1, ensure_ascii=False) + "\n")
    print(f"all figures: {file.relative_to(ROOT)}")
    shutil.rmtree(work, ignore_errors=True)
    # Errors are wrong at any speed; time is for a person to judge, machines differ.
    return 1 if errors else 0


def free_port() -> int:
    """A port below 30000: above, the system hands them out to outgoing connections."""
    for port in range(18100 + os.getpid() % 400, 19000):
        with socket.socket() as s:
            if port not in taken:
                try:
                    s.bind(("127.0.0.1", port))
                except OSError:
                    continue
                taken.add(port)
                return port
    raise SystemExit("no free port")


taken: set[int] = set()

if __name__ == "__main__":
    sys.exit(main())
