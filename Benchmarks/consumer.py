"""The consumer library against librdkafka's bare consume loop, a plain Java consumer and a plain Python one, in turn, on one topic.

Prints, as a Markdown table: events a second of the bare loop (consume.c) and of an EventConsumer whose handler does
nothing, decoding included, live and in a replay, with a handler that reads four texts, and with 20 keys only; and the rate with
handlers that sleep a millisecond, as a ratio to concurrency / 1 ms. Java and Python are left out where they are missing.

With --instructions it counts instructions per event by callgrind instead: the difference of a long run and a short one.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
KEPT = HERE / "consumer-instructions.json"
TOLERANCE = 0.05
BUDGETS = {"bare": 0.5, "java": 2.5, "cpu": 2.2, "instructions": 12_000, "sleep": 0.9, "reads": 0.4, "few": 0.7}


def run(*command, timeout=300):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)
    if result.returncode != 0:
        sys.exit(f"{command[0]} ended with {result.returncode}: {result.stderr.strip()[-500:]}")
    return json.loads(result.stdout) if result.stdout.strip() else None


def optional(*command):
    """None where it does not run: the program or a library of it is missing."""
    try:
        result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    except OSError:
        return None
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode != 0 or not lines:
        print(f"left out: {command[0]} {' '.join(map(str, command[1:3]))} … ended with {result.returncode}: "
              f"{result.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return json.loads(lines[-1])


def count_instructions(arguments, prefix):
    """Instructions per event: what a run of `events` takes more than one of a quarter of them.

    Other work of the machine adds instructions (shorter batches, more polls) and takes none away: the least of some attempts counts,
    and with --check the first that is low enough."""
    sizes = (arguments.events // 4, arguments.events)
    for events in sizes:
        fill(arguments, f"{prefix}-{events}", events)

    def total(events):
        out = HERE.parent / ".build" / "bench" / f"consumer-{events}.callgrind"
        command = ["valgrind", "--tool=callgrind", "--fair-sched=yes", f"--callgrind-out-file={out}", arguments.consumer, "handle",
                   arguments.bootstrap, f"{prefix}-{events}", str(events), str(arguments.concurrency), "0"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if result.returncode != 0:
            sys.exit(f"callgrind ended with {result.returncode}: {result.stderr.strip()[-800:]}")
        with open(out, errors="replace") as file:
            return max(int(line.split()[1]) for line in file if line.startswith(("summary:", "totals:")))

    kept = json.loads(KEPT.read_text())["perEvent"] if KEPT.exists() else None
    measured = None
    for attempt in range(3):
        short, long = (total(events) for events in sizes)
        found = round((long - short) / (sizes[1] - sizes[0]))
        print(f"attempt {attempt + 1}: {found:,} instructions per event", file=sys.stderr)
        measured = min(found, measured or found)
        if arguments.check and kept and measured <= kept * (1 + TOLERANCE):
            break
    print("| instructions per event, empty handler | kept | budget |")
    print("|---:|---:|---:|")
    print(f"| {measured:,} | {f'{kept:,}' if kept else ''} | {BUDGETS['instructions']:,} |")
    if arguments.keep:
        KEPT.write_text(json.dumps({"perEvent": measured}, indent=2) + "\n")
    if arguments.check and not kept:
        sys.exit(f"nothing is kept to compare with in {KEPT.name}")
    if arguments.check and measured > kept * (1 + TOLERANCE):
        sys.exit(f"{measured:,} instructions per event, {measured / kept - 1:+.1%} over the {kept:,} kept. "
                 "If that is meant: scripts/bench consumer --instructions --keep, and say why in the commit.")


def fill(arguments, prefix, events, numbers=None):
    topic = f"{prefix}.delivery-status"
    subprocess.run([f"{arguments.tools}/topic", arguments.bootstrap, topic, "6"], check=True, stdout=subprocess.DEVNULL)
    print(f"filling {topic} with {events} events …", file=sys.stderr)
    run(arguments.consumer, "fill", arguments.bootstrap, prefix, events, numbers or arguments.numbers, timeout=600)
    return topic


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--consumer", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", default="python3", help=argparse.SUPPRESS)
    parser.add_argument("--kafka-libs", help="folder of Kafka's jars, for the Java consumer")
    parser.add_argument("--rounds", type=int, default=5, help="alternations; the medians count")
    parser.add_argument("--events", type=int, help="500,000; with --instructions 40,000")
    parser.add_argument("--numbers", type=int, default=20_000, help="subscribers that the events are about")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--instructions", action="store_true", help="instructions per event by callgrind, and nothing else")
    parser.add_argument("--check", action="store_true", help=f"with --instructions: fail beyond {TOLERANCE:.0%} above {KEPT.name}")
    parser.add_argument("--keep", action="store_true", help="with --instructions: write the value measured into that file")
    arguments = parser.parse_args()
    arguments.events = arguments.events or (40_000 if arguments.instructions else 500_000)
    if arguments.rounds < 1 or arguments.events < 1_000:
        parser.error("at least one round and 1000 events")

    prefix = f"bench-{os.getpid()}"
    if arguments.instructions:
        return count_instructions(arguments, prefix)
    topic = fill(arguments, prefix, arguments.events)
    few_topic_prefix = f"{prefix}-few"
    fill(arguments, few_topic_prefix, arguments.events, 20)

    def handle(events, sleep, own=prefix, reads=0):
        return run(arguments.consumer, "handle", arguments.bootstrap, own, events, arguments.concurrency, sleep, reads)

    runs = {name: [] for name in ("bare", "own", "reads", "few", "replayed", "java", "python", "slept")}

    def note(name, result):
        if result:
            runs[name].append(result)

    for number in range(arguments.rounds):
        note("bare", run(f"{arguments.tools}/consume", arguments.bootstrap, topic, 6, arguments.events))
        note("own", handle(arguments.events, 0))
        note("reads", handle(arguments.events, 0, reads=1))
        note("few", handle(arguments.events, 0, own=few_topic_prefix))
        note("replayed", run(arguments.consumer, "replay", arguments.bootstrap, prefix, arguments.events, arguments.concurrency))
        if arguments.kafka_libs:
            note("java", optional("java", "-cp", f"{arguments.kafka_libs}/*", HERE / "PlainConsumer.java", arguments.bootstrap, topic, 6,
                                  arguments.events))
        note("python", optional(arguments.python, HERE / "plain_consumer.py", arguments.bootstrap, topic, 6, arguments.events))
        print(f"round {number + 1}: " + ", ".join(
            f"{name} {all_of[-1]['records'] / all_of[-1]['seconds']:,.0f}/s {all_of[-1]['cpu'] / all_of[-1]['records'] * 1e6:.2f} µs"
            for name, all_of in runs.items() if all_of), file=sys.stderr)
    began = time.monotonic()
    while len(runs["slept"]) < arguments.rounds and time.monotonic() - began < 120:
        note("slept", handle(min(arguments.events, 200_000), 1_000))

    def rate(name):
        return statistics.median(run["records"] / run["seconds"] for run in runs[name])

    def cpu(name):
        return statistics.median(run["cpu"] / run["records"] * 1e6 for run in runs[name])

    ideal = arguments.concurrency / 0.001
    print("| | events/s | CPU per event | ÷ bare loop | |")
    print("|---|---:|---:|---:|---|")
    print(f"| bare loop | {rate('bare'):,.0f} | {cpu('bare'):.2f} µs | 1 | |")

    def row(title, name, more=""):
        if runs[name]:
            print(f"| {title} | {rate(name):,.0f} | {cpu(name):.2f} µs | {rate(name) / rate('bare'):.2f} | {more} |")

    beside_java = f"; {rate('own') / rate('java'):.2f} × Java, budget {BUDGETS['java']}" if runs["java"] else ""
    row("empty handler", "own", f"budget {BUDGETS['bare']} of the bare loop, {BUDGETS['cpu']} µs{beside_java}")
    row("handler that reads four texts", "reads", f"{cpu('reads') - cpu('own'):+.2f} µs, budget {BUDGETS['reads']} µs")
    row("empty handler, 20 keys", "few", f"{rate('few') / rate('own'):.2f} of {arguments.numbers:,} keys, budget {BUDGETS['few']}")
    row("empty handler, replay", "replayed")
    row("Java, Jackson databind, one thread", "java")
    row("Python" + (f", {runs['python'][0]['json']}" if runs["python"] else ""), "python")
    if runs["slept"]:
        row(f"1 ms handler, {arguments.concurrency} at once", "slept",
            f"{rate('slept') / ideal:.2f} of {ideal:,.0f}/s, budget {BUDGETS['sleep']}")


main()
