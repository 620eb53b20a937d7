# shellcheck shell=bash
# Root file systems of Debian made by debootstrap, for what has to run on a bare system. Sourced, never run; needs root.
#
# The caller sets `work`, a folder with room for them; what is in it is used again.

# The mirror that this machine's apt uses; apt knows it once its lists are there.
debian_mirror() {
    local found=${DEBIAN_MIRROR:-} _
    for _ in 1 2; do
        [ -z "$found" ] || break
        # shellcheck disable=SC2016 # apt expands it
        found=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | sed -n 's#/$##; /\/debian$/p' | head -n 1)
        [ -n "$found" ] || apt-get update -qq >/dev/null 2>&1 || true
    done
    printf '%s\n' "${found:-http://deb.debian.org/debian}"
}

# debian_root SUITE: the root $work/SUITE, laid out as Debian's own images are: no caches, manual pages or translations.
debian_root() {
    local root=${work:?}/$1 mirror
    [ ! -f "$root.ready" ] || return 0
    mirror=$(debian_mirror)
    rm -rf --one-file-system "$root"
    debootstrap --variant=minbase --components=main "$1" "$root" "$mirror" >"$root.log" 2>&1 || { tail -n 20 "$root.log" && return 1; }
    printf 'deb %s %s main\n' "$mirror" "$1" "$mirror" "$1-updates" "$mirror-security" "$1-security" >"$root/etc/apt/sources.list"
    printf '%s\n' 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };' \
        'APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };' \
        'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";' >"$root/etc/apt/apt.conf.d/docker-clean"
    printf 'path-exclude /usr/share/man/*\npath-exclude /usr/share/doc/*\npath-include /usr/share/doc/*/copyright\npath-exclude /usr/share/locale/*\n' \
        >"$root/etc/dpkg/dpkg.cfg.d/docker"
    rm -rf "$root"/usr/share/{man,doc,locale,info}/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    touch "$root.ready"
}

# in_root ROOT COMMAND…: in a mount namespace of its own, so that /proc is gone with it. `root_prefix`, an array, stands before
# the command: the namespace of a network, say.
root_prefix=()
in_root() {
    local root=$1
    shift
    # shellcheck disable=SC2016 # the inner shell expands it
    ${root_prefix[@]+"${root_prefix[@]}"} unshare --mount --propagation private bash -c '
        root=$1 && shift && mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
        exec chroot "$root" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"' - "$root" "$@"
}

# apt_in ROOT PACKAGE…: installs packages there, and starts none of their services.
apt_in() {
    local root=$1
    shift
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    { in_root "$root" apt-get update -qq && in_root "$root" apt-get install -y -qq --no-install-recommends "$@"; } >"$root.log" 2>&1 ||
        { tail -n 20 "$root.log" && return 1; }
}
