# shellcheck shell=bash
# What every script of this repository shares: where it is, how it speaks, and how it installs what is missing.
# Sourced, never run. `set -euo pipefail` is the caller's.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
logs=$root/.build/logs
# Swift 6.2 is what Package.swift asks for; 6.3 is what this repository is developed with.
swift_needed=6.2
swift_recommended=6.3.1

say() { printf '%s\n' "$*"; }
note() { printf '%s\n' "$*" >&2; }

# Ends with status 2: something that only the person at the keyboard can do is missing. $1 says what, the rest is the
# exact command to type, one line each.
ask_for() {
    local what=$1
    shift
    note "$what"
    note "Type this, then run the script again:"
    printf '    %s\n' "$@" >&2
    note ""
    exit 2
}

is_macos() { [ "$(uname -s)" = Darwin ]; }
is_debian() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

# The system libraries, as Package.swift names them for each package manager: one list, kept there.
providers() { sed -n "s/.*$1: \"\\([^\"]*\\)\".*/\\1/p" "$root/Package.swift" | sort -u; }

# The prefix that turns a command into root's: empty for root, sudo where it asks for no password, else fails.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

may_be_root() { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; }

apt_has() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# install_apt NAME…: installs those of the packages that are missing, and ends with the command to type where it may not.
install_apt() {
    local missing=() name
    for name in "$@"; do apt_has "$name" || missing+=("$name"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    local sudo=
    [ "$(id -u)" = 0 ] || sudo="sudo "
    local command="${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends ${missing[*]}"
    may_be_root || ask_for "Missing Debian packages: ${missing[*]}" "$command"
    note "installing: ${missing[*]}"
    mkdir -p "$logs"
    # An index that is partly out of reach is no reason to stop: what counts is whether the packages install.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q </dev/null >"$logs/apt.log" 2>&1 || true
    if ! as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null >>"$logs/apt.log" 2>&1; then
        tail -n 20 "$logs/apt.log" >&2
        ask_for "These packages could not be installed: ${missing[*]} (log: $logs/apt.log)" "$command"
    fi
}

# unpack_apt NAME: puts the programs of a package on PATH without installing it, for one whose installation starts a service.
unpack_apt() {
    local place=$root/.build/packages/$1
    if [ ! -d "$place/usr/bin" ]; then
        note "unpacking: $1"
        rm -rf "$place" && mkdir -p "$place" "$logs"
        if may_be_root; then as_root apt-get update -q </dev/null >"$logs/apt.log" 2>&1 || true; fi
        if ! (cd "$place" && apt-get download -q "$1" </dev/null >>"$logs/apt.log" 2>&1 && dpkg-deb -x "$1"_*.deb . && rm -f "$1"_*.deb); then
            rm -rf "$place"
            tail -n 20 "$logs/apt.log" >&2
            ask_for "The package $1 could not be fetched (log: $logs/apt.log)" "apt-get update && apt-get install $1"
        fi
    fi
    export PATH=$place/usr/bin:$PATH
}

install_brew() {
    command -v brew >/dev/null ||
        ask_for "Homebrew is needed for: $*" 'open https://brew.sh   # then: brew install '"$*"
    local missing=() name
    for name in "$@"; do brew list --formula --versions "$name" >/dev/null 2>&1 || missing+=("$name"); done
    [ ${#missing[@]} -eq 0 ] || {
        note "installing: ${missing[*]}"
        brew install --quiet "${missing[@]}" </dev/null || ask_for "brew failed" "brew install ${missing[*]}"
    }
    # These are keg-only: pkg-config does not see them by itself.
    local prefix
    prefix=$(brew --prefix)
    export PKG_CONFIG_PATH="$prefix/opt/openssl@3/lib/pkgconfig:$prefix/opt/curl/lib/pkgconfig:$prefix/opt/zlib/lib/pkgconfig:$prefix/opt/expat/lib/pkgconfig:${PKG_CONFIG_PATH:-}"
}

# install_packages "apt names" "brew names": beside the system libraries of Package.swift.
install_packages() {
    if is_macos; then
        # shellcheck disable=SC2086 # lists of words
        install_brew $2
    elif is_debian; then
        # shellcheck disable=SC2086
        install_apt $1
    else
        ask_for "This system has neither apt nor brew: install the development files of these libraries with its own package manager" \
            "# $(providers apt | tr '\n' ' ')$1"
    fi
}

swift_version() { swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1; }

version_at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" = "$1" ]; }

# A Swift toolchain of at least $swift_needed on PATH, or the command that brings one.
need_swift() {
    local place version
    if ! command -v swift >/dev/null; then
        for place in "${SWIFTLY_HOME_DIR:-$HOME/.local/share/swiftly}/bin" "$HOME/.swiftly/bin" /opt/swift/usr/bin /usr/libexec/swift/bin; do
            if [ -x "$place/swift" ]; then PATH=$place:$PATH && break; fi
        done
    fi
    version=$(swift_version || true)
    if [ -z "$version" ] && command -v swift >/dev/null && is_debian; then
        # A toolchain unpacked on a bare system: what its own image installs beside it.
        install_apt libcurl4-openssl-dev libedit-dev libncurses-dev libsqlite3-dev libxml2-dev tzdata
        version=$(swift_version || true)
    fi
    if [ -n "$version" ] && version_at_least "$swift_needed" "$version"; then return 0; fi
    local what="There is no Swift toolchain here; smsbridge needs Swift $swift_needed or later"
    [ -z "$version" ] || what="Swift $version is too old; smsbridge needs Swift $swift_needed or later"
    # shellcheck disable=SC2088 # to be typed, not expanded
    if is_macos; then
        ask_for "$what" \
            "curl -O https://download.swift.org/swiftly/darwin/swiftly.pkg" \
            "installer -pkg swiftly.pkg -target CurrentUserHomeDirectory" \
            "~/.swiftly/bin/swiftly init --assume-yes --skip-install && . ~/.swiftly/env.sh && swiftly install --use $swift_recommended"
    else
        ask_for "$what" \
            "sudo apt-get install -y curl gpg ca-certificates   # where they are not there" \
            "curl -O https://download.swift.org/swiftly/linux/swiftly-$(uname -m).tar.gz && tar zxf swiftly-$(uname -m).tar.gz" \
            "./swiftly init --assume-yes --skip-install && . ~/.local/share/swiftly/env.sh && swiftly install --use $swift_recommended"
    fi
}

# Everything that building smsbridge takes.
install_to_build() {
    # The names in the two lists are words without spaces.
    install_packages "pkg-config g++ git ca-certificates $(providers apt | tr '\n' ' ')" "pkgconf git $(providers brew | tr '\n' ' ')"
    need_swift
}

# A Python environment of the tests' own with what Tests/requirements.txt pins; on PATH afterwards, and as $PYTHON.
install_python() {
    install_packages "python3 python3-venv" "python@3.13"
    local venv=$root/.build/python wanted=$root/Tests/requirements.txt
    if ! { [ -x "$venv/bin/python" ] && cmp -s "$wanted" "$venv/installed.txt"; }; then
        mkdir -p "$logs"
        note "installing: Python packages of Tests/requirements.txt into .build/python"
        rm -rf "$venv"
        # Debian's own interpreter first: python3-venv above is made for it, whatever else stands earlier on PATH.
        local python=python3
        if is_debian && [ -x /usr/bin/python3 ]; then python=/usr/bin/python3; fi
        if ! { "$python" -m venv "$venv" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"; } \
            </dev/null >"$logs/pip.log" 2>&1; then
            tail -n 20 "$logs/pip.log" >&2
            ask_for "The Python packages could not be installed (log: $logs/pip.log)" \
                "$python -m venv $venv && $venv/bin/python -m pip install -r $wanted"
        fi
        cp "$wanted" "$venv/installed.txt"
    fi
    export PYTHON=$venv/bin/python
    PATH=$venv/bin:$PATH
}

# quietly NAME COMMAND…: the output goes to .build/logs/NAME.log and is shown only when the command fails.
quietly() {
    local name=$1 status=0
    shift
    mkdir -p "$logs"
    "$@" </dev/null >"$logs/$name.log" 2>&1 || status=$?
    if [ $status -ne 0 ]; then
        note "--- $name failed; the end of $logs/$name.log:"
        tail -n "${LOG_LINES:-60}" "$logs/$name.log" >&2
    fi
    return $status
}

# A TCP port below 30000 (above, the system hands them out to outgoing connections) such that it and it + 501 are free.
free_port() {
    local port
    for _ in $(seq 200); do
        port=$((19100 + RANDOM % 9000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && ! (exec 3<>"/dev/tcp/127.0.0.1/$((port + 501))") 2>/dev/null; then
            say "$port"
            return 0
        fi
    done
    return 1
}
