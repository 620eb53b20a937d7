"""The commands of a page under `<!-- walked -->`, or with --plaintext under `<!-- walked: plaintext -->`, as a script.

    python3 commands.py [--plaintext] PAGE NAME=VALUE …

In the page are an example's names (kafka.example.com:9093, the password of smsbridge): each NAME is replaced by its VALUE, and has
to be there. `smsbridge serve` goes on in the background until it is ready, as in a terminal of its own.
"""

import re
import sys

mark = "walked"
if sys.argv[1] == "--plaintext":
    mark = "walked: plaintext"
    del sys.argv[1]
page = open(sys.argv[1], encoding="utf-8").read()
blocks = re.findall(rf"^<!-- {mark} -->\n```sh\n(.*?)^```$", page, re.M | re.S)
if not blocks:
    sys.exit(f"{sys.argv[1]}: no block is marked as {mark}")
script = "\n".join(blocks)
for pair in sys.argv[2:]:
    name, _, value = pair.partition("=")
    if name not in script:
        sys.exit(f"{sys.argv[1]}: '{name}' is in none of the walked commands any more")
    script = script.replace(name, value)
print(re.sub(r"^(smsbridge serve .*)$", r"in_another_terminal \1", script, flags=re.M))
