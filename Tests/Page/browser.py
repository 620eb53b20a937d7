"""The page in a real browser, which is the judge of HTML, style and security policy."""

import html
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import urllib.request

from report import check


def find():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return name
    return None


class Browser:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def run(self, *arguments):
        """What it prints, and what it complains of."""
        with tempfile.TemporaryDirectory(dir=self.folder) as profile:
            done = subprocess.run(
                [self.program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                 "--no-first-run", "--disable-background-networking", "--enable-logging=stderr", f"--user-data-dir={profile}",
                 *arguments],
                capture_output=True, timeout=90, stdin=subprocess.DEVNULL)
        check(done.returncode == 0, f"the browser ended with {done.returncode}: {done.stderr[-300:]!r}")
        return done.stdout.decode("utf-8"), done.stderr.decode("utf-8", "replace")

    def dom(self, url):
        dom, complaints = self.run("--dump-dom", url)
        for line in complaints.splitlines():
            check("CONSOLE" not in line and "Content Security Policy" not in line, f"the browser complains: {line[-300:]}")
        return dom

    def picture(self, url, path, width, height, dark=False):
        """Its bytes; the size in it is what was asked for."""
        self.run(f"--screenshot={path}", f"--window-size={width},{height}",
                 *(["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]), url)
        with open(path, "rb") as file:
            picture = file.read()
        check(picture[:8] == b"\x89PNG\r\n\x1a\n", "no picture was taken")
        check(struct.unpack(">II", picture[16:24]) == (width, height), "the picture has another size")
        return picture

    def widths_needed(self, page, widths):
        """How wide the page becomes in frames of those widths: more than it means that one has to scroll sideways."""
        with tempfile.NamedTemporaryFile("w", suffix=".html", dir=self.folder, encoding="utf-8", delete=False) as file:
            file.write("<!doctype html>")
            for width in widths:
                file.write(f'<iframe width="{width}" height="600" style="border:0" srcdoc="{html.escape(page)}"></iframe>')
            file.write("<script>onload=()=>{document.title=[...document.querySelectorAll('iframe')].map(f=>Math.max("
                       "f.contentDocument.documentElement.scrollWidth,f.contentDocument.body.scrollWidth)).join()}</script>")
        dom, _ = self.run("--dump-dom", f"file://{file.name}")
        os.unlink(file.name)
        return [int(width) for width in dom.split("<title>")[-1].split("<")[0].split(",")]


def fetch(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return answer.read().decode("utf-8")


def look(report, browser, admin, folder, state, pictures=True):
    """Checks of the page as it is now; `state` is its name in the report."""
    still = f"{admin}/?refresh=never"
    with report.case(f"{state}: the browser takes the page without a complaint, style and graphs included"):
        dom = browser.dom(still)
        check('class="graphs"' in dom and dom.count("<svg") == 4, "the graphs are missing")
        for part in ("<h1>", "Topics", "Spool", "Kafka", "Requests by outcome", "delivery-status", "<meter"):
            check(part in dom, f"{part!r} is missing in {dom[:200]!r}")
        # The parser has kept what the source has: nothing was out of place. A finding may come or go between the two requests.
        for attempt in range(10):
            source = fetch(still)
            changed = [tag for tag in ("section", "table", "tr", "td", "th", "svg", "dl", "dt", "dd", "footer")
                       if dom.count(f"<{tag}") != source.count(f"<{tag}")]
            if not changed:
                break
            dom = browser.dom(still)
        check(not changed, f"the parser has changed the number of {changed}")
    with report.case(f"{state}: it names host, account and brokers, and each of its links leads somewhere"):
        for part in (f"on {socket.gethostname()}", "account default", "<dt>Brokers</dt>"):
            check(part in source, f"{part!r} is missing")
        links = set(re.findall(r'href="(/[^"?]*)"', source))
        check("/runbook" in links and all(fetch(admin + link) for link in sorted(links - {"/readyz"})), f"the links are {sorted(links)}")
        alerts = re.findall(r'<a href="/runbook/(\w+)"><code>(\w+)</code></a>', source)
        check(len(alerts) == source.count("<code>Smsbridge") and all(one == two for one, two in alerts), f"the alerts are {alerts}")
    if not pictures:
        return
    with report.case(f"{state}: it is dark where the browser is, and differs in nothing else that counts"):
        light = browser.picture(still, os.path.join(folder, f"{state}-light.png"), 1200, 1500)
        dark = browser.picture(still, os.path.join(folder, f"{state}-dark.png"), 1200, 1500, dark=True)
        check(light != dark and len(light) > 20_000 and len(dark) > 20_000, f"{len(light)} and {len(dark)} bytes")
    with report.case(f"{state}: on a phone nobody scrolls sideways"):
        widths = [320, 390, 768, 1200]
        for width, needed in zip(widths, browser.widths_needed(fetch(still), widths), strict=True):
            check(needed <= width, f"{width} points wide it needs {needed}")
