#!/bin/sh
# One server process a NeuronCore, all on the same ports: the kernel deals connections out to them.
# NEURON_RT_VISIBLE_CORES ("0", "0-3" or "0,2") names the cores; when one process ends, all do: a
# server at half strength would be measured as a whole one.
set -eu

here=$(dirname "$0")

# cores RANGES: "0-2,5" to "0 1 2 5".
cores() {
    for part in $(echo "$1" | tr , ' '); do
        first="${part%-*}"
        last="${part#*-}"
        case "$first$last" in
        *[!0-9]* | '')
            echo "neuron: NEURON_RT_VISIBLE_CORES is '$1'; give cores such as 0-3" >&2
            exit 1
            ;;
        esac
        while [ "$first" -le "$last" ]; do
            echo "$first"
            first=$((first + 1))
        done
    done
}

list=$(cores "${NEURON_RT_VISIBLE_CORES:-0}")
pids=""
stop() {
    trap '' TERM INT
    # shellcheck disable=SC2086
    kill $pids 2>/dev/null || true
    wait
    exit "$1"
}
trap 'stop 0' TERM INT

for core in $list; do
    NEURON_RT_VISIBLE_CORES="$core" /bin/sh "$here/entrypoint.sh" "$@" &
    pids="$pids $!"
done
while :; do
    for pid in $pids; do
        if ! kill -0 "$pid" 2>/dev/null; then
            code=0
            wait "$pid" || code=$?
            echo "neuron: process $pid ended with status $code; ending the others" >&2
            [ "$code" -ne 0 ] || code=1
            stop "$code"
        fi
    done
    sleep 0.5
done
