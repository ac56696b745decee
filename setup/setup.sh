#!/usr/bin/env bash
# Everything `make` needs before it can run anything here; under a second when nothing is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup/packages.sh

python=
for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    if [ -n "$candidate" ] && "$candidate" -c \
        'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "error: no Python 3.11 or newer with venv here; install one or name it: make PYTHON=…" >&2
    exit 2
fi

"$python" -m setup.venv
# shellcheck disable=SC2086 - PJSUA2 holds several options
.venv/bin/python -m setup.pjsua2 ${PJSUA2:-}
