"""Measures the CPU of durability.audit: the bridge with and without it, in turns, at one rate. Called by scripts/bench audit."""

import argparse
import pathlib
import shutil
import statistics
import sys
import tempfile

import bench


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench audit", description="The CPU of durability.audit.")
    parser.add_argument("--bootstrap", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--bridge", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--seconds", type=float, default=60, help="length of a turn (default 60)")
    parser.add_argument("--rate", type=int, default=2000, help="callbacks a second (default 2000)")
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="smsbridge-bench-"))
    cores: dict[bool, list[float]] = {False: [], True: []}
    bad = 0
    for number in range(options.rounds):
        for audits in (False, True) if number % 2 == 0 else (True, False):
            options.set = [f"SMSBRIDGE_DURABILITY_AUDIT={str(audits).lower()}"]
            _, bridge = bench.subjects(options, work)
            bridge.start(work / "bridge.log")
            try:
                bench.paced(options.tools, bridge, options.rate, 2, 1)
                before = bridge.cpu_seconds()
                paced = bench.paced(options.tools, bridge, options.rate, options.seconds, number + 2)
                used = bridge.cpu_seconds() - before
            finally:
                bridge.stop()
            bad += paced["requests"] - paced["ok"]
            # `load` warms up for a second, too.
            cores[audits].append(used / (options.seconds + 1) * 100)
            print(f"audit {'on ' if audits else 'off'}: {cores[audits][-1]:.2f} % of a core, p99 {paced['p99_ms']:.2f} ms", flush=True)
    without, with_audit = (statistics.median(cores[audits]) for audits in (False, True))
    print(f"median: {without:.2f} % without, {with_audit:.2f} % with: {with_audit - without:+.2f} % of a core; {bad} errors")
    shutil.rmtree(work, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
