#!/bin/sh
# Container images, as far as this machine can build them: `make images`, `make images-offline`.
#
#   build.sh            from public base images, which Docker pulls
#   build.sh offline    savedmodel-server alone, with neither registry nor network inside the build:
#                       on BASE (an image that is there), or on a Debian that debootstrap makes, with
#                       wheels that pip has downloaded to build/wheels before
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
server=containers/savedmodel-server
wheels=build/wheels
built=0

# try NAME ARGUMENTS...: build one with its folder's knobs as a label, and go on where it cannot be.
try() {
    name="$1"
    shift
    knobs="containers/${name%%:*}/knobs.yaml"
    [ ! -f "$knobs" ] || set -- --label "rightsizer.knobs=$(cat "$knobs")" "$@"
    if docker build --quiet --tag "rightsizer/$name" "$@" >/dev/null; then
        echo "built rightsizer/$name"
        built=$((built + 1))
    else
        echo "not built: rightsizer/$name, for the reason above" >&2
    fi
}

online() {
    try savedmodel-server:cpu "$server"
    try tensorflow-serving:cpu containers/tensorflow-serving
    try tensorflow-serving:gpu --build-arg TAG=2.19.0-gpu containers/tensorflow-serving
    try tensorflow-serving-neuron:inf2 -f containers/tensorflow-serving-neuron/Dockerfile containers
}

offline() {
    if [ -z "${BASE:-}" ]; then
        BASE=rightsizer/base:bookworm
        docker image inspect "$BASE" >/dev/null 2>&1 || debian "$BASE"
    fi
    mkdir -p "$wheels"
    version=$(docker run --rm --network none --entrypoint python3 "$BASE" -c \
        'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -m pip download --quiet --disable-pip-version-check --dest "$wheels" \
        --only-binary=:all: --python-version "$version" --requirement "$server/requirements.txt"
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    cp -R "$server/." "$context"
    cp -R "$wheels" "$context/wheels"
    try savedmodel-server:cpu --network none --build-arg BASE="$BASE" "$context"
}

# debian NAME: a base image without a registry.
debian() {
    command -v debootstrap >/dev/null || {
        echo "build.sh: no base image: give BASE=IMAGE (python3 and its venv), or install debootstrap" >&2
        exit 4
    }
    root=$(mktemp -d)
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" >&2
    tar -C "$root" -c . | docker import - "$1" >/dev/null
    rm -rf "$root"
}

command -v docker >/dev/null || {
    echo "build.sh: docker is not installed" >&2
    exit 4
}
case "${1:-online}" in
online | offline) "${1:-online}" ;;
*) echo "usage: build.sh [offline]" >&2; exit 2 ;;
esac
[ "$built" -gt 0 ]
