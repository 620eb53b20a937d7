"""Checks the pages of this repository, with nothing but the standard library.

* Every relative link, and every `#heading` of one, leads somewhere.
* Every file that a page names in backticks under a known top folder is there.
* Code after `<!-- excerpt of FILE -->` stands in that file, line for line, so that what is shown is what is tested.
* Tests/Chaos/README.md names every scenario of scripts/chaos.
* Lines of pages have at most 120 characters, code excepted.
* Pages and sources keep to the terms of the glossary (docs/concepts.md): idioms that need a translation are counted.
* Names of log fields are camelCase without blanks.
* In the changelog's tables of renamed things, new names exist and old ones do not.
* The repository speaks of itself alone: no path of a machine it was written on.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
listing = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
)
# A link to a page is that page.
FILES = [name for name in listing.stdout.splitlines() if (ROOT / name).is_file() and not (ROOT / name).is_symlink()]
problems: list[str] = []


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    text = re.sub(r"`|\*\*|\[([^\]]*)\]\([^)]*\)", lambda m: m.group(1) or "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def prose(text: str) -> str:
    """The page without its code blocks, line for line."""
    kept, fence = [], None
    for line in text.splitlines():
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark:
            fence = None if fence else mark.group(1)
            kept.append("")
        else:
            kept.append("" if fence else line)
    return "\n".join(kept)


def anchors(page: pathlib.Path) -> set[str]:
    seen: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", prose(page.read_text(encoding="utf-8")), re.M):
        name = slug(heading)
        count = seen.get(name, 0)
        seen[name] = count + 1
        found.add(name if count == 0 else f"{name}-{count}")
    return found


def check_links(name: str) -> None:
    page = ROOT / name
    for number, line in enumerate(prose(page.read_text(encoding="utf-8")).splitlines(), 1):
        bare = re.sub(r"`[^`]*`", "", line)
        for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)", bare):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            path, _, anchor = target.partition("#")
            other = (page.parent / path).resolve() if path else page
            if not other.exists():
                problems.append(f"{name}:{number}: no such file: {target}")
            elif anchor and other.suffix == ".md" and anchor not in anchors(other):
                problems.append(f"{name}:{number}: no such heading: {target}")
        if name == "CHANGELOG.md":
            continue  # It may name what is gone.
        for mention in re.findall(r"`((?:scripts|Sources|Tests|Benchmarks|docs|\.ci|\.github)/[\w./+-]+)`", line):
            if not (ROOT / mention).exists():
                problems.append(f"{name}:{number}: no such file: {mention}")


def indented(code: str, by: str) -> str:
    return "".join(by + line if line.strip() else line for line in code.splitlines(True))


def is_excerpt(code: str, of: pathlib.Path) -> bool:
    """Whether a file has these lines, all of them indented alike."""
    text = "\n" + of.read_text(encoding="utf-8")
    return any("\n" + indented(code, " " * spaces) in text for spaces in (0, 4, 8, 12))


# Tests/SnippetTests runs these two: what is shown works at the top level of a program and in a type marked `@main`.
MAIN_FILE = ROOT / "Tests/Snippets/MainFile/main.swift"
MAIN_TYPE = ROOT / "Tests/Snippets/MainType/MainType.swift"


def check_excerpts(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    marks = re.findall(r"^<!-- excerpt of (\S+) -->$", text, re.M)
    blocks = re.findall(r"^<!-- excerpt of (\S+) -->\n```\w*\n(.*?)^```$", text, re.M | re.S)
    if len(marks) != len(blocks):
        problems.append(f"{name}: no code follows the mark of an excerpt")
    for source, code in blocks:
        path = ROOT / source
        if not path.is_file():
            problems.append(f"{name}: an excerpt of a file that is not there: {source}")
        elif not is_excerpt(code, path):
            problems.append(f"{name}: an excerpt that is not in {source}: {code.splitlines()[0]}")
        elif path == MAIN_FILE and not is_excerpt(code, MAIN_TYPE):
            problems.append(f"{name}: an excerpt that is not in {MAIN_TYPE.relative_to(ROOT)}: {code.splitlines()[0]}")
    swift = re.findall(r"^```swift$", text, re.M)
    if len(swift) != len(re.findall(r"^<!-- excerpt of \S+ -->\n```swift$", text, re.M)):
        problems.append(f"{name}: Swift that is no excerpt of a file: it is neither compiled nor run")


def check_comments(name: str) -> None:
    """Swift in documentation comments, likewise."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for body in re.findall(r"^ */// ```swift\n(.*?)^ */// ```$", text, re.M | re.S):
        code = re.sub(r"^ */// ?", "", body, flags=re.M)
        if not any(is_excerpt(code, path) for path in SNIPPETS):
            problems.append(f"{name}: Swift in a comment that no snippet has: {code.splitlines()[0]}")


SNIPPETS = [
    path for folder in ("Tests/Snippets", "Tests/Outside", "Tests/SMSPortalTestingTests", "Tests/SMSPortalEventsTests")
    for path in sorted((ROOT / folder).rglob("*.swift"))
]


# The one thing outside that may be named is the script that starts a broker, and only by what CI runs.
KAFKA_STARTERS = {".ci/run"}
FOREIGN = [r"/work\b(?!-)(?=/|\s|\"|'|`|$)", r"/tmp/wt\b", r"\.\./shared\b", r"/root/", r"/home/\w+"]


def check_foreign(name: str) -> None:
    if name == "scripts/lib/check-docs.py":
        return
    try:
        text = (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if name in KAFKA_STARTERS:
            line = line.replace("../shared/kafka", "")
        for pattern in FOREIGN:
            found = re.search(pattern, line)
            if found:
                problems.append(f"{name}:{number}: a path of another place: {found.group(0)}")


def check_scenarios() -> None:
    table = (ROOT / "Tests/Chaos/README.md").read_text(encoding="utf-8")
    suite = (ROOT / "Tests/Chaos/main.py").read_text(encoding="utf-8")
    scenarios = re.findall(r'^    \("([a-z0-9-]+)", \w+\.\w+, \d+, \d+\),$', suite, re.M)
    if len(scenarios) < 30:
        problems.append(f"Tests/Chaos/main.py: only {len(scenarios)} scenarios were found")
    problems.extend(f"Tests/Chaos/README.md: no row for the scenario {name}" for name in scenarios if f"`{name}`" not in table)


# Idioms that are no terms of the field: each has one that a reader can look up.
IDIOMS = re.compile(
    r"\b(anew|for want of|whoever|nobody|somebody|everybody|told|lets? go of|(?:is|be|are) done with|mend(?:s|ed|ing)?"
    r"|stands? (?:in|on|there|for)|so late|cannot be had|takes? (?:nothing|its place)|sets? aside|stays? in force|said aloud"
    r"|condemn(?:s|ed)?|buried|bury|hire[sd]?|debts?|owed|remains of|what (?:waits|comes|stands|is wrong|it is|they say|became)"
    r"|tells? (?:what|whether|how)|no longer so|goes for good|turned away|let in|so that nobody|for itself|for themselves"
    r"|meanwhile|as they came|as it came)\b", re.I)
# Per 1,000 words; one idiom is allowed anywhere.
IDIOM_LIMIT = 0.3
# Higher limits for what is still to be rewritten.
IDIOM_LIMITS = {
    "Sources/Library/SMSPortalConsumer": 3,
}


def check_language() -> None:
    """Comments and strings of each module, and each page."""
    counts: dict[str, list[int]] = {}
    for name in FILES:
        if name.startswith("Sources/") and name.endswith(".swift"):
            group = "/".join(name.split("/")[:3])
            text = (ROOT / name).read_text(encoding="utf-8")
            words = re.findall(r"//+ ?(.*)", text) + re.findall(r'"((?:[^"\\\n]|\\.)*)"', re.sub(r"//.*", "", text))
            text = "\n".join(words)
        elif name in ("README.md", "Tests/Chaos/README.md") or re.fullmatch(r"docs/[^/]+\.md", name):
            group, text = name, (ROOT / name).read_text(encoding="utf-8")
        else:
            continue
        count = counts.setdefault(group, [0, 0])
        count[0] += len(IDIOMS.findall(text))
        count[1] += len(re.findall(r"[A-Za-z']+", text))
    for group, (idioms, words) in sorted(counts.items()):
        limit = IDIOM_LIMITS.get(group, IDIOM_LIMIT)
        if idioms > 1 and 1000 * idioms > limit * words:
            problems.append(f"{group}: {idioms} idioms in {words} words, more than {limit} per 1,000: "
                            "use the terms of docs/concepts.md")


def check_lines(name: str) -> None:
    if not re.fullmatch(r"README\.md|CONTRIBUTING\.md|docs/[^/]+\.md|(Benchmarks|Examples|Tests/Chaos)/README\.md", name):
        return
    for number, line in enumerate(prose((ROOT / name).read_text(encoding="utf-8")).splitlines(), 1):
        if len(line) > 120:
            problems.append(f"{name}:{number}: {len(line)} characters, of 120")


LOG_CALL = re.compile(r"\b(?:logger|log)\b\??(?:\.(?:trace|debug|info|warning|error|log))?\(|LogFields = \[")


def check_log_fields(name: str) -> None:
    """The names in the literals of fields that calls of a logger have."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for call in LOG_CALL.finditer(text):
        depth, index, keys = 1, call.end(), []
        while depth and index < len(text):
            character = text[index]
            if character == '"':
                literal = re.compile(r'"(?:[^"\\\n]|\\.)*"').match(text, index)
                if not literal:
                    break
                if re.match(r"\s*:", text[literal.end():]) and re.search(r"[\[,]\s*$", text[:index]):
                    keys.append(literal.group(0)[1:-1])
                index = literal.end()
                continue
            depth += (character in "([") - (character in ")]")
            index += 1
        for key in keys:
            if not re.fullmatch(r"[a-z][A-Za-z0-9]*", key):
                number = text.count("\n", 0, call.start()) + 1
                problems.append(f"{name}:{number}: the log field {key!r} is not camelCase")


def check_renames() -> None:
    """Alerts and metrics in the rows `| before | now |` of the changelog."""
    names = re.compile(r"\b(?:Smsbridge[A-Z]\w+|smsbridge_[a-z_]+)(?![\w{])")
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in FILES
             if name.startswith("deploy/prometheus/") or (name.startswith("Sources/") and name.endswith(".swift"))]
    existing = set(names.findall("\n".join(texts)))
    rows = re.findall(r"^\| (`.*) \| (`.*) \|$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    for before, now in rows:
        problems.extend(f"CHANGELOG.md: {name} is not there" for name in names.findall(now) if name not in existing)
        problems.extend(f"CHANGELOG.md: {name} is still there" for name in names.findall(before) if name in existing)


check_language()
check_renames()
for each in FILES:
    if each.startswith("Sources/") and each.endswith(".swift"):
        check_log_fields(each)
check_scenarios()
pages = [name for name in FILES if name.endswith(".md")]
for each in pages:
    check_links(each)
    check_excerpts(each)
    check_lines(each)
for each in FILES:
    check_foreign(each)
    if each.startswith("Sources/Library/") and each.endswith(".swift"):
        check_comments(each)
for problem in problems:
    print(problem)
print(f"{len(pages)} pages, {len(FILES)} files, {len(problems)} problems")
sys.exit(1 if problems else 0)
