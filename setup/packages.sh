#!/usr/bin/env bash
# Install the system packages of packages.txt that are missing; silent when there are none.
# Nothing it installs gets started, and no Postgres cluster is created or touched.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mapfile -t wanted < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$here/packages.txt")

if ! command -v dpkg-query >/dev/null; then
    echo "warning: no dpkg on this machine; install what setup/packages.txt names by hand" >&2
    exit 0
fi

# One query for all: asking per package would take longer than the rest of a second run.
mapfile -t names < <(printf '%s\n' "${wanted[@]}" | tr '|' '\n')
declare -A installed=()
while read -r status name; do
    if [[ $status == ?i* ]]; then installed[$name]=1; fi
done < <(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' "${names[@]}" 2>/dev/null || true)

missing=()
for entry in "${wanted[@]}"; do
    present=
    for name in ${entry//|/ }; do
        if [ -n "${installed[$name]:-}" ]; then present=1; fi
    done
    if [ -z "$present" ]; then missing+=("$entry"); fi
done
if [ "${#missing[@]}" -eq 0 ]; then exit 0; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        echo "error: system packages are missing and there is no root here; run once:" \
            "sudo setup/packages.sh   (missing: ${missing[*]})" >&2
        exit 2
    fi
fi

log=$(mktemp -t overdial-packages.XXXXXX)
undo=()
clean_up() {
    local step
    for step in "${undo[@]}"; do eval "$step"; done
}
trap clean_up EXIT

# A package's daemon must not start beside whatever this machine runs already.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    undo+=("${as_root[*]} rm -f /usr/sbin/policy-rc.d")
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee /usr/sbin/policy-rc.d >/dev/null
    "${as_root[@]}" chmod 755 /usr/sbin/policy-rc.d
fi

get() {
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
        apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >>"$log" 2>&1; then
        echo "error: apt-get $1 failed; the whole output is in $log, its end is:" >&2
        tail -n 15 "$log" | sed 's/^/    /' >&2
        exit 2
    fi
}

started=$SECONDS
echo "packages: installing ${#missing[@]} of ${#wanted[@]} (once)"
get update

chosen=()
unknown=()
for entry in "${missing[@]}"; do
    found=
    for name in ${entry//|/ }; do
        if apt-cache show --no-all-versions "$name" >/dev/null 2>&1; then found=$name; break; fi
    done
    if [ -n "$found" ]; then chosen+=("$found"); else unknown+=("$entry"); fi
done
if [ "${#unknown[@]}" -gt 0 ]; then
    echo "error: this machine's archive has no package ${unknown[*]}" >&2
    exit 2
fi

servers=()
others=()
for name in "${chosen[@]}"; do
    case $name in postgresql-*) servers+=("$name") ;; *) others+=("$name") ;; esac
done
if [ "${#others[@]}" -gt 0 ]; then
    get install -y --no-install-recommends "${others[@]}"
fi
if [ "${#servers[@]}" -gt 0 ]; then
    # Only the binaries are wanted: the suite makes its own throw-away clusters.
    get install -y --no-install-recommends postgresql-common
    settings=/etc/postgresql-common/createcluster.conf
    if [ -f "$settings" ]; then
        "${as_root[@]}" cp -p "$settings" "$settings.before-overdial"
        undo+=("${as_root[*]} mv -f $settings.before-overdial $settings")
    fi
    echo "create_main_cluster = off" | "${as_root[@]}" tee -a "$settings" >/dev/null
    get install -y --no-install-recommends "${servers[@]}"
fi
rm -f "$log"
echo "packages: done in $((SECONDS - started)) s"
