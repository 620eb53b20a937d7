"""Screenshots of the status page for the documentation: healthy, one broker in development mode, Kafka down, callbacks rejected."""

import os
import time

import faults
import palette
from bridge import Bridge
from cluster import Cluster
from report import check

WIDTH = 1160


def wait(bridge, text, within=90):
    """Until the page has the text."""
    deadline = time.monotonic() + within
    while text not in bridge.admin_page("/?refresh=never"):
        check(time.monotonic() < deadline, f"the page does not say {text!r} within {within} s")
        time.sleep(0.5)


def take(report, browser, bridge, folder, name, height):
    with report.case(f"screenshot {name}"):
        path = os.path.join(folder, f"{name}.png")
        browser.picture(f"{bridge.admin}/?refresh=never", path, WIDTH, height)
        palette.shrink(path)
        check(os.path.getsize(path) < 100_000, f"it has {os.path.getsize(path)} bytes")


def one_broker(report, browser, binary, folder, target):
    """A cluster of one broker in development mode, as on a developer's machine: one line of information, and no alert."""
    cluster, traffic = Cluster(os.environ["KAFKA_START"]), None
    settings = {"SMSBRIDGE_AUTH_HEADER_SECRETS": faults.SECRET, "SMSBRIDGE_SPOOL_ANY_FILE_SYSTEM": "true",
                "SMSBRIDGE_TOPICS_REPLICATION": "1", "SMSBRIDGE_DURABILITY_INTERVAL": "1s", "SMSBRIDGE_SHUTDOWN_DELAY": "0s",
                "SMSBRIDGE_DURABILITY_DEVELOPMENT": "true"}
    bridge = Bridge.start(binary, cluster.bootstrap, "smsportal", folder, "one-broker", settings)
    try:
        traffic = faults.Traffic(bridge, 5)
        wait(bridge, "durability.development is true")
        time.sleep(20)
        with report.case("one broker in development mode: no alert"):
            check("SmsbridgeTopicNotDurable" not in bridge.admin_page("/?refresh=never"), "the page has the alert of weak topics")
        take(report, browser, bridge, target, "status-one-broker", 1180)
    finally:
        if traffic:
            traffic.stop()
        bridge.end()
        cluster.end()


def run(report, browser, binary, folder, target):
    os.makedirs(target, exist_ok=True)
    one_broker(report, browser, binary, folder, target)
    stand = faults.Stand(report, binary, folder, long=False, only="")
    try:
        stand.start("calm", {"SMSBRIDGE_TOPICS_PREFIX": "smsportal"})
        stand.start("quiet", {"SMSBRIDGE_TOPICS_PREFIX": "smsportal"})
        calm, quiet = stand.bridges["calm"], stand.bridges["quiet"]
        stand.traffic["calm"] = faults.Traffic(calm, 20)
        wait(calm, "No problems")
        time.sleep(45)
        take(report, browser, calm, target, "status", 1240)
        rejected = faults.Traffic(quiet, 1, paths=["/webhook/reply"])
        wait(quiet, "SmsbridgeAllCallbacksRejected")
        time.sleep(30)
        take(report, browser, quiet, target, "status-rejected", 1460)
        rejected.stop()
        for node in (1, 2, 3):
            stand.cluster.pause(node)
        wait(calm, "SmsbridgeKafkaDown")
        wait(calm, "SmsbridgeTopicSpooling")
        time.sleep(20)
        take(report, browser, calm, target, "status-kafka-down", 1460)
    finally:
        stand.end()
