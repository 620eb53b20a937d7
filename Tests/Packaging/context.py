"""The build context of the Dockerfile: copies what its build stage copies, as .dockerignore allows, into a folder.

    context.py FOLDER
"""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def expression(pattern):
    """A pattern of .dockerignore (Go's filepath.Match plus `**`) as a regular expression over the whole relative path."""
    text = ""
    for part in re.split(r"(\*\*/?|\*|\?)", pattern.strip("/")):
        text += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
    return re.compile(text + "(?:/.*)?")


def rules():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [(not line.startswith("!"), expression(line.lstrip("!"))) for line in lines]


def is_sent(path, all_rules):
    """The last rule that matches decides, as Docker documents it."""
    ignored = False
    for excludes, pattern in all_rules:
        if pattern.fullmatch(path):
            ignored = excludes
    return not ignored


def copied():
    """What the build stage copies: pairs of source and destination, relative to the context and to WORKDIR."""
    pairs, stage = [], None
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["FROM"]:
            stage = words[-1]
        if words[:1] == ["COPY"] and stage == "build" and not words[1].startswith("--from"):
            pairs += [(source, words[-1]) for source in words[1:-1]]
    return pairs


def main():
    target = pathlib.Path(sys.argv[1])
    all_rules = rules()
    listing = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                             capture_output=True, text=True).stdout.split("\n")
    sent = [name for name in listing if name and (ROOT / name).is_file() and is_sent(name, all_rules)]
    for source, destination in copied():
        names = [name for name in sent if name == source or name.startswith(source.rstrip("/") + "/")]
        if not names:
            sys.exit(f"Dockerfile copies {source}, which .dockerignore keeps out of the build context")
        for name in names:
            rest = name[len(source.rstrip("/")):].lstrip("/")
            path = target / destination / rest if rest else target / destination / pathlib.Path(name).name
            if not rest and not destination.endswith(("/", ".")):
                path = target / destination
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path)


main()
