"""Counts the instructions of an event, by callgrind: of the bridge and of the C floor, at saturation, on a real Kafka.

CPU time says more about a busy machine than about the program; instructions stray by less than 1 %, whatever else runs.
What makes them repeatable:

- A fixed number of requests: `burst` sends one on each of N connections, awaits all answers, and so on. The process is
  stopped while they are sent, so it always finds all N connections readable, as at saturation.
- Counting starts after a warm-up and ends with the last answer: neither the start nor the end of the process is in it.
- What the process does by the clock (statistics, metadata, the status page's history) is counted for some seconds without
  load, and taken off: a slower machine would add more of it to each event.
- Under callgrind a program takes some 20 times as long, and the broker does not. So the linger is 60 ms instead of 1 ms: what
  comes together goes to the broker in one request, on a slow machine, too.

libcrypto is left out of the figure: valgrind does not offer the SHA extension of the processor, so SHA-256 counts many
times of what it costs. Called by scripts/bench, which builds what it needs.
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
KEPT = HERE / "instructions.json"
LINGER_MS = 60
EVENTS = 4000
QUIET_SECONDS = 5
TOLERANCE = 0.05


@dataclasses.dataclass
class Count:
    """What the instructions of a number of events went to, by (object, function)."""

    events: int
    own: collections.Counter
    inclusive: collections.Counter

    def per_event(self, of_crypto: bool = False) -> float:
        return sum(n for (where, _), n in self.own.items() if ("libcrypto" in where) == of_crypto) / self.events

    def without(self, quiet: "Count", times: float) -> "Count":
        for mine, other in ((self.own, quiet.own), (self.inclusive, quiet.inclusive)):
            for place, n in other.items():
                mine[place] -= round(n * times)
        return self

    def by_object(self) -> dict[str, float]:
        objects: collections.Counter[str] = collections.Counter()
        for (where, _), n in self.own.items():
            objects[where] += n
        return {where: n / self.events for where, n in objects.most_common()}

    def functions(self, inclusive: bool, limit: int) -> list[tuple[str, str, float]]:
        found = (self.inclusive if inclusive else self.own).most_common(limit)
        return [(where, name, n / self.events) for (where, name), n in found]


def read(file: pathlib.Path, events: int) -> Count:
    """Reads callgrind's own format: names are given once and then by their number; the line behind `calls=` is the cost of
    the function that was called."""
    names: dict[str, dict[str, str]] = {"fn": {}, "ob": {}}
    own: collections.Counter = collections.Counter()
    inclusive: collections.Counter = collections.Counter()
    where = function = ""
    is_call = False
    with file.open(errors="replace") as lines:
        for line in lines:
            named = re.match(r"c?(fn|ob)=(\(\d+\))?\s*(.*)$", line)
            if named:
                kind, number, name = named.groups()
                name = names[kind].setdefault(number or name, name)
                if line.startswith("fn="):
                    function = re.sub(r"'\d+$", "", name)
                elif line.startswith("ob="):
                    where = pathlib.PurePath(name).name
            elif line.startswith("calls="):
                is_call = True
            elif re.match(r"[\d+*-]", line):
                cost = int(line.split()[1]) if " " in line.strip() else 0
                inclusive[where, function] += cost
                if not is_call:
                    own[where, function] += cost
                is_call = False
    return Count(events, own, inclusive)


def counts(subject, tools: pathlib.Path, work: pathlib.Path, connections: list[int], header: str, events: int = EVENTS,
           rounds: int = 1) -> dict[int, list[Count]]:
    """Runs the subject (see bench.py), which must not be running, under callgrind: for each number of connections `rounds`
    counts, the lowest first."""
    out = work / f"{subject.name}.callgrind"
    log = work / f"{subject.name}-callgrind.log"
    subject.start(log, ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--fair-sched=yes", f"--callgrind-out-file={out}"])

    def burst(connections: int, rounds: int, seed: int) -> dict:
        command = [str(tools / "burst"), str(subject.port), subject.path, "--rounds", str(rounds), "--connections", str(connections),
                   "--header", header, "--seed", str(seed), "--stop", str(subject.pid)]
        ran = subprocess.run(command, capture_output=True, text=True)
        result = json.loads(ran.stdout) if ran.stdout else {}
        if ran.returncode or not result.get("ok"):
            raise SystemExit(f"burst failed: {ran.stdout}{ran.stderr}; the log of {subject.name}: {log.read_text()[-2000:]}")
        return result

    def control(*words: str) -> None:
        subprocess.run(["callgrind_control", *words, str(subject.pid)], capture_output=True, check=True)

    def dump(events: int) -> Count:
        before = set(work.glob(f"{out.name}*"))
        control("--dump")
        dumps = sorted(set(work.glob(f"{out.name}*")) - before, key=lambda file: file.stat().st_size)
        result = read(dumps[-1], events)
        for file in dumps:
            file.unlink()
        return result

    result: dict[int, list[Count]] = {}
    try:
        burst(connections[0], 20, 1)
        control("--instr=on")
        burst(connections[0], 5, 2)  # translated again, with counting
        control("--zero")
        time.sleep(QUIET_SECONDS)
        quiet = dump(1)
        for number in connections:
            for index in range(rounds):
                burst(number, 1, index + 10)
                control("--zero")
                load = burst(number, -(-events // number), index + 20)
                result.setdefault(number, []).append(dump(load["ok"]).without(quiet, load["seconds"] / QUIET_SECONDS))
            result[number].sort(key=Count.per_event)
    finally:
        subject.kill()
    return result


def main() -> int:
    import bench

    parser = argparse.ArgumentParser(prog="scripts/bench instructions", description="Instructions per event, by callgrind.")
    parser.add_argument("--bootstrap", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--bridge", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--connections", type=lambda text: [int(n) for n in text.split(",")], default=[64, 256])
    parser.add_argument("--events", type=int, default=EVENTS, help=f"events counted (default {EVENTS})")
    parser.add_argument("--rounds", type=int, default=3, help="counts of each, of which the median is taken (default 3)")
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="print the N functions with the most instructions")
    parser.add_argument("--check", action="store_true", help=f"fail beyond {TOLERANCE:.0%} above the values of {KEPT.relative_to(HERE.parent)}")
    parser.add_argument("--keep", action="store_true", help="write the values measured into that file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an environment variable for the bridge alone")
    options = parser.parse_args()

    work = pathlib.Path(tempfile.mkdtemp(prefix="smsbridge-instructions-"))
    subjects = bench.subjects(options, work, for_callgrind=True)
    bench.make_topics(options)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    measured: dict[str, int] = {}
    grown = []
    rows = []
    counted = {subject.name: counts(subject, options.tools, work, options.connections, bench.AUTHENTICATION, options.events, options.rounds)
               for subject in subjects}
    for connections in options.connections:
        figures = {name: [c.per_event() for c in every[connections]] for name, every in counted.items()}
        floor, bridge = (figures[subject.name] for subject in subjects)
        now, before = bridge[len(bridge) // 2], kept.get("perEvent", {}).get(str(connections))
        measured[str(connections)] = round(now)
        if before and now > before * (1 + TOLERANCE):
            grown.append(f"{connections} connections: {now:,.0f} instructions per event, {now / before - 1:+.1%} over the {before:,} kept")
        rows.append(f"| {connections} connections | {floor[len(floor) // 2]:,.0f} | {now:,.0f} | {bridge[0]:,.0f} to {bridge[-1]:,.0f} "
                    f"| {now / floor[len(floor) // 2]:.2f} "
                    f"| {f'{before:,}' if before else ''} |")
        last = counted[subjects[1].name][connections][options.rounds // 2]
        print(f"\n| instructions per event, {connections} connections | bridge |\n|---|---:|")
        for where, n in last.by_object().items():
            if n >= 50:
                print(f"| {where} | {n:,.0f} |")
        for inclusive in (False, True) if options.functions else ():
            print(f"\n| function ({'with' if inclusive else 'without'} what it calls) | in | |\n|---|---|---:|")
            found = last.functions(inclusive, options.functions)
            for (where, _, n), name in zip(found, bench.demangled([name for _, name, _ in found], "--simplified")):
                print(f"| `{name}` | {where} | {n:,.0f} |")
    print("\n| instructions per event, without libcrypto | floor | bridge | strays | ratio | kept |\n|---|---:|---:|---:|---:|---:|")
    print("\n".join(rows))
    shutil.rmtree(work, ignore_errors=True)
    if options.keep:
        KEPT.write_text(json.dumps({"perEvent": measured}, indent=2) + "\n")
    if options.check and grown:
        print("\n" + "\n".join(grown) + f"\nIf that is meant: scripts/bench instructions --keep, and say why in the commit. "
              "What it went to: --functions 40")
        return 1
    if options.check and set(measured) - set(kept.get("perEvent", {})):
        print(f"\nnothing is kept to compare with in {KEPT.name}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
