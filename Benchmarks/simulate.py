"""Holds `smsbridge simulate` against `wrk`, in turn, on one bridge: does it hold its rate, and do its times agree?

The rate: `simulate` alone, with a schedule, over many connections. The times: both in a closed loop over few connections, where
Kafka's acknowledgement and not the client is what is waited for, in turn; as ratios of medians over the rounds, beside what wrk
differs by from itself."""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Tests", "Contract"))
from bridge import Bridge  # noqa: E402

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"Status":"DELIVRD","EventId":1179504595,"Mcc":655,"Mnc":"01","MsgCount":1,"Msisdn":"27001456789",' ..
    '"Received":1530013907,"UserReference":"ref-1"}'
"""
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def timed(command):
    """Output and CPU seconds of a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def wrk(url, options, folder):
    path = os.path.join(folder, "load.lua")
    with open(path, "w") as file:
        file.write(SCRIPT)
    done, cpu = timed(["wrk", "-t1", f"-c{options.few}", f"-d{options.seconds}s", "--latency", "-s", path,
                       f"{url}/webhooks/delivery-status"])

    def milliseconds(percent):
        number, unit = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)\b", done.stdout).groups()
        return float(number) * UNITS[unit]

    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))
    return {"rate": rate, "p50": milliseconds(50), "p99": milliseconds(99), "cpu": 1e6 * cpu / (rate * options.seconds)}


def simulate(url, options, rate, connections):
    done, cpu = timed([options.bridge, "simulate", "--url", url, "--rate", str(rate), "--duration", f"{options.seconds}s",
                       "--clients", str(connections), "--types", "delivery-status", "--generations", "v2-post", "--json"])
    if done.returncode:
        raise SystemExit(f"simulate ended with {done.returncode}: {done.stdout}{done.stderr}")
    report = json.loads(done.stdout)
    times = report["latencyMicroseconds"]
    return {"rate": report["sent"] / options.seconds, "p50": times["p50"] / 1000, "p99": times["p99"] / 1000,
            "cpu": 1e6 * cpu / report["requests"]}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench simulate", description=__doc__)
    parser.add_argument("--bridge", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="length of each turn")
    parser.add_argument("--rate", type=int, default=5000, help="requests a second")
    parser.add_argument("--connections", type=int, default=50, help="for the rate")
    parser.add_argument("--few", type=int, default=4, help="connections for the times")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smsbridge-bench-") as folder:
        bridge = Bridge.start([options.bridge], options.bootstrap, f"bench.simulate-{os.getpid()}", folder, "bridge", {
            "SMSBRIDGE_AUTH_NONE": "true", "SMSBRIDGE_TOPICS_REPLICATION": "1", "SMSBRIDGE_SHUTDOWN_DELAY": "0s"})
        turns = {"rate": [], "wrk": [], "simulate": [], "wrk again": []}
        try:
            wrk(bridge.url, options, folder)  # warms up
            for _ in range(options.rounds):
                turns["wrk"].append(wrk(bridge.url, options, folder))
                turns["simulate"].append(simulate(bridge.url, options, 0, options.few))
                turns["wrk again"].append(wrk(bridge.url, options, folder))
                turns["rate"].append(simulate(bridge.url, options, options.rate, options.connections))
        finally:
            bridge.end()
    median = {who: {key: statistics.median(turn[key] for turn in all_) for key in all_[0]} for who, all_ in turns.items()}
    print(f"load average {os.getloadavg()[0]:.1f}; {options.rounds} rounds of {options.seconds} s; rate: {options.rate}/s asked for "
          f"over {options.connections} connections; times: closed loops of {options.few}")
    print(f"{'':12}{'per second':>12}{'p50 ms':>10}{'p99 ms':>10}{'CPU µs/request':>17}")
    for who, figures in median.items():
        print(f"{who:12}{figures['rate']:12.0f}{figures['p50']:10.2f}{figures['p99']:10.2f}{figures['cpu']:17.1f}")
    for key in ("p50", "p99"):
        ratio = median["simulate"][key] / median["wrk"][key]
        noise = median["wrk again"][key] / median["wrk"][key]
        spread = [max(turn[key] for turn in turns["wrk"]) / min(turn[key] for turn in turns["wrk"])]
        print(f"{key}: simulate ÷ wrk {ratio:.2f}; wrk ÷ wrk {noise:.2f}, and its turns are apart by a factor of {spread[0]:.2f}")


if __name__ == "__main__":
    main()
