# shellcheck shell=bash
# A virtualenv with the requirements of Tests/Contract, which Tests/Chaos shares: $venv. Sourced, never run.
# A marker with the requirements' checksum: it is made again when they change, and never left half made.
contract=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${CONTRACT_VENV:-$contract/../../.build/contract-venv}
stamp=$(cksum <"$contract/requirements.txt")
if [ ! -x "$venv/bin/python" ] || [ "$(cat "$venv/stamp" 2>/dev/null || true)" != "$stamp" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$contract/requirements.txt"
    echo "$stamp" >"$venv/stamp"
fi
