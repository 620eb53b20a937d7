"""The consumer library against librdkafka's bare consume loop, in turn, on one topic.

Prints, as a Markdown table: events a second of the bare loop (consume.c) and of an EventConsumer whose handler does
nothing, decoding included, live and in a replay; their ratio beside the budget of Benchmarks/README.md; and the rate with handlers that sleep a
millisecond, as a ratio to concurrency / 1 ms.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

BUDGET = 0.5


def run(*command, timeout=300):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)
    if result.returncode != 0:
        sys.exit(f"{command[0]} ended with {result.returncode}: {result.stderr.strip()[-500:]}")
    return json.loads(result.stdout) if result.stdout.strip() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--tools", required=True)
    parser.add_argument("--consumer", required=True)
    parser.add_argument("--rounds", type=int, default=5, help="alternations; the medians count")
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--numbers", type=int, default=20_000, help="subscribers that the events are about")
    parser.add_argument("--concurrency", type=int, default=64)
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.events < 1_000:
        parser.error("at least one round and 1000 events")

    prefix = f"bench-{os.getpid()}"
    topic = f"{prefix}.delivery-status"
    subprocess.run([f"{arguments.tools}/topic", arguments.bootstrap, topic, "6"], check=True, stdout=subprocess.DEVNULL)
    print(f"filling {topic} with {arguments.events} events …", file=sys.stderr)
    run(arguments.consumer, "fill", arguments.bootstrap, prefix, arguments.events, arguments.numbers, timeout=600)

    def handle(events, sleep):
        return run(arguments.consumer, "handle", arguments.bootstrap, prefix, events, arguments.concurrency, sleep)

    bare, own, replayed, slept = [], [], [], []
    for round in range(arguments.rounds):
        bare.append(run(f"{arguments.tools}/consume", arguments.bootstrap, topic, 6, arguments.events))
        own.append(handle(arguments.events, 0))
        replayed.append(run(
            arguments.consumer, "replay", arguments.bootstrap, prefix, arguments.events, arguments.concurrency))
        print(f"round {round + 1}: bare {bare[-1]}, consumer {own[-1]}", file=sys.stderr)
    began = time.monotonic()
    while len(slept) < arguments.rounds and time.monotonic() - began < 120:
        slept.append(handle(min(arguments.events, 200_000), 1_000))

    def rate(runs):
        return statistics.median(run["records"] / run["seconds"] for run in runs)

    def cpu(runs):
        return statistics.median(run["cpu"] / run["records"] * 1e6 for run in runs)

    ideal = arguments.concurrency / 0.001
    print("| | events/s | CPU per event | ratio |")
    print("|---|---|---|---|")
    print(f"| bare loop | {rate(bare):,.0f} | {cpu(bare):.1f} µs | 1 |")
    print(f"| empty handler | {rate(own):,.0f} | {cpu(own):.1f} µs | {rate(own) / rate(bare):.2f} (budget {BUDGET}) |")
    print(f"| empty handler, replay | {rate(replayed):,.0f} | {cpu(replayed):.1f} µs | {rate(replayed) / rate(bare):.2f} |")
    print(f"| 1 ms handler, {arguments.concurrency} at once | {rate(slept):,.0f} | {cpu(slept):.1f} µs "
          f"| {rate(slept) / ideal:.2f} of {ideal:,.0f} |")


main()
