#!/bin/sh
# Compiles demo.erl, starts it in Hornbeam's VM, and serves app.py. Arguments: further flags of `hornbeam run`.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../.." && pwd)
ebin=$(mktemp -d)
trap 'rm -rf "$ebin"' EXIT
trap 'kill -TERM "$server"' INT TERM
erlc -o "$ebin" "$here/demo.erl"
HORNBEAM_ERL_FLAGS="-pa $ebin -s demo start ${HORNBEAM_ERL_FLAGS:-}" \
    "$root/bin/hornbeam" run app:app --venv "$root/.venv" --pythonpath "$here" \
    --rpc-allow erlang:system_time "$@" &
server=$!
status=0
while kill -0 "$server" 2>/dev/null; do wait "$server" && status=0 || status=$?; done
exit "$status"
