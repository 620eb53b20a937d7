"""Measures the CPU of durability.audit: two bridges, with and without it, at the same time and rate. Called by scripts/bench audit."""

import argparse
import concurrent.futures
import pathlib
import shutil
import sys
import tempfile

import bench


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench audit", description="The CPU of durability.audit.")
    parser.add_argument("--bootstrap", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--bridge", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="runs of both (default 3)")
    parser.add_argument("--seconds", type=float, default=60, help="length of a run (default 60)")
    parser.add_argument("--rate", type=int, default=2000, help="callbacks a second for each (default 2000)")
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="smsbridge-bench-"))
    bad, totals = 0, {"off": 0.0, "on": 0.0}
    for number in range(options.rounds):
        bridges = {}
        for audit, value in (("off", "false"), ("on", "true")) if number % 2 == 0 else (("on", "true"), ("off", "false")):
            folder = work / f"{audit}-{number}"
            folder.mkdir()
            options.set = [f"SMSBRIDGE_DURABILITY_AUDIT={value}"]
            _, bridges[audit] = bench.subjects(options, folder)
            bridges[audit].start(folder / "bridge.log")
        try:
            with concurrent.futures.ThreadPoolExecutor() as pool:
                def run(seconds: float) -> dict[str, dict]:
                    running = {audit: pool.submit(bench.paced, options.tools, bridge, options.rate, seconds, number + 1)
                               for audit, bridge in bridges.items()}
                    return {audit: future.result() for audit, future in running.items()}

                run(2)
                before = {audit: bridge.cpu_seconds() for audit, bridge in bridges.items()}
                results = run(options.seconds)
                used = {audit: bridge.cpu_seconds() - before[audit] for audit, bridge in bridges.items()}
        finally:
            for bridge in bridges.values():
                bridge.stop()
        for audit in ("off", "on"):
            totals[audit] += used[audit]
            bad += results[audit]["requests"] - results[audit]["ok"]
        # `load` warms up for a second, too.
        share = {audit: seconds / (options.seconds + 1) * 100 for audit, seconds in used.items()}
        print(f"audit off {share['off']:.2f} %, on {share['on']:.2f} %: {share['on'] - share['off']:+.2f} % of a core", flush=True)
    difference = (totals["on"] - totals["off"]) / (options.seconds + 1) / options.rounds * 100
    print(f"mean: {difference:+.2f} % of a core, {(totals['on'] / totals['off'] - 1) * 100:+.1f} % of the bridge's CPU; {bad} errors")
    shutil.rmtree(work, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
