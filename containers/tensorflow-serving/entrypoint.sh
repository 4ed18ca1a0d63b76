#!/bin/sh
# Environment variables to tensorflow_model_server's flags and its batching file; see README.md.
# Further arguments go to the server as they are. POSIX sh: the official image has no Python.
set -eu

fail() {
    echo "entrypoint: $*" >&2
    exit 1
}

# number NAME DEFAULT: the variable's value, which must be a whole number.
number() {
    eval "value=\${$1:-$2}"
    case "$value" in
    '' | *[!0-9]*) fail "$1 is '$value'; give a whole number" ;;
    esac
    echo "$value"
}

server="${TF_SERVING_BINARY:-tensorflow_model_server}"
base="${MODEL_BASE_PATH:-/opt/ml/model}"

# A model archive unpacks to NAME/VERSION or to VERSION: the folder that holds versions is the model's.
if ls -d "$base"/[0-9]*/ >/dev/null 2>&1; then
    path="$base"
    name="${MODEL_NAME:-model}"
else
    if [ -n "${MODEL_NAME:-}" ]; then
        path="$base/$MODEL_NAME"
    else
        path=$(for folder in "$base"/*/; do
            ls -d "$folder"[0-9]*/ >/dev/null 2>&1 && echo "$folder" && break
        done) || true
    fi
    [ -n "$path" ] && ls -d "${path%/}"/[0-9]*/ >/dev/null 2>&1 ||
        fail "no model in $base; mount one that holds VERSION/saved_model.pb or NAME/VERSION/saved_model.pb"
    path="${path%/}"
    name="${MODEL_NAME:-$(basename "$path")}"
fi

# Each is assigned by itself: only then does a value that means nothing end the script.
grpc_port=$(number TF_SERVING_GRPC_PORT 8500)
rest_port=$(number TF_SERVING_REST_PORT 8501)
set -- --port="$grpc_port" --rest_api_port="$rest_port" \
    --model_name="$name" --model_base_path="$path" \
    --max_num_load_retries=0 --file_system_poll_wait_seconds=0 \
    --enable_grpc_healthcheck_service=true "$@"

intra=$(number TF_SERVING_INTRA_OP_PARALLELISM 0)
inter=$(number TF_SERVING_INTER_OP_PARALLELISM 0)
[ "$intra" = 0 ] || set -- "$@" --tensorflow_intra_op_parallelism="$intra"
[ "$inter" = 0 ] || set -- "$@" --tensorflow_inter_op_parallelism="$inter"
rest=$(number TF_SERVING_REST_THREADS 0)
[ "$rest" = 0 ] || set -- "$@" --rest_api_num_threads="$rest"
case "${TF_SERVING_GPU_MEMORY_FRACTION:-}" in
'') ;;
0.[0-9]* | 1 | 1.0) set -- "$@" --per_process_gpu_memory_fraction="$TF_SERVING_GPU_MEMORY_FRACTION" ;;
*) fail "TF_SERVING_GPU_MEMORY_FRACTION is '$TF_SERVING_GPU_MEMORY_FRACTION'; give 0.01 to 1" ;;
esac

case "${TF_SERVING_ENABLE_BATCHING:-false}" in
true)
    # nproc honours the CPU set: the server's own default is the whole machine's CPUs.
    cpus=$(nproc)
    rows=$(number TF_SERVING_MAX_BATCH_SIZE 8)
    wait_us=$(number TF_SERVING_BATCH_TIMEOUT_MICROS 1000)
    threads=$(number TF_SERVING_NUM_BATCH_THREADS "$cpus")
    queued=$(number TF_SERVING_MAX_ENQUEUED_BATCHES "$cpus")
    batching="${TMPDIR:-/tmp}/batching.config"
    {
        echo "max_batch_size { value: $rows }"
        echo "batch_timeout_micros { value: $wait_us }"
        echo "num_batch_threads { value: $threads }"
        echo "max_enqueued_batches { value: $queued }"
        for size in $(echo "${TF_SERVING_ALLOWED_BATCH_SIZES:-}" | tr , ' '); do
            echo "allowed_batch_sizes: $size"
        done
    } >"$batching"
    set -- "$@" --enable_batching=true --batching_parameters_file="$batching"
    ;;
false) ;;
*) fail "TF_SERVING_ENABLE_BATCHING is '$TF_SERVING_ENABLE_BATCHING'; give true or false" ;;
esac

exec "$server" "$@"
