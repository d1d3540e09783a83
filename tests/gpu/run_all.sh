#!/bin/sh
# Runs all checks of the latency measurement that need a GPU, in less than 8 minutes.
#
#   PYTHON=python3 sh tests/gpu/run_all.sh [FOLDER]
#
# PYTHON needs torch 2.11 to 2.13 with CUDA; LBC_PYTHON (default: PYTHON) needs pydantic, rich and
# PyYAML. FOLDER (default: OUT, or gpu-results) receives the JSON and log of each step,
# independent.txt, verdict.json and measurement.json, which may be copied to
# resources/measurements/. Exit status: 0 all checks passed, 1 some failed, 2 invalid input, 3 no
# usable GPU. The GPU's clocks and power are read, never set.
#
# This script has never been run on a GPU.

set -u

PYTHON=${PYTHON:-python3}
LBC_PYTHON=${LBC_PYTHON:-$PYTHON}
folder=${1:-${OUT:-gpu-results}}
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 2
deadline=$(($(date +%s) + 465))

for python in "$PYTHON" "$LBC_PYTHON"; do
    command -v "$python" >/dev/null || {
        echo "$python was not found: give a Python with torch, for example PYTHON=python3.12." >&2
        exit 2
    }
done
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
"$LBC_PYTHON" -c 'import pydantic, rich, yaml' 2>/dev/null || {
    echo "$LBC_PYTHON lacks pydantic, rich or PyYAML: install them, or set LBC_PYTHON." >&2
    exit 2
}
mkdir -p "$folder" && folder=$(cd "$folder" && pwd) || exit 2
rm -f "$folder"/*.json "$folder"/*.log "$folder"/*.txt "$folder"/*.seconds

# step NAME SECONDS COMMAND...: runs it with a log, within its own and the overall time limit.
step() {
    name=$1 limit=$2
    shift 2
    left=$((deadline - $(date +%s)))
    [ "$left" -lt "$limit" ] && limit=$left
    if [ "$limit" -le 5 ]; then
        echo "$name: no time left" | tee "$folder/$name.log"
        return 1
    fi
    started=$(date +%s.%N)
    timeout -k 10 "$limit" "$@" >"$folder/$name.log" 2>&1
    status=$?
    awk "BEGIN {print $(date +%s.%N) - $started}" >"$folder/$name.seconds"
    echo "$name: status $status after $(cat "$folder/$name.seconds") s"
    return "$status"
}

latency() {
    verb=$1 name=$2 limit=$3
    shift 3
    step "$name" "$limit" "$LBC_PYTHON" -m lbc latency "$verb" --python "$PYTHON" "$@"
}

latency probe probe 90 || {
    cat "$folder/probe.log" >&2
    echo "Nothing was checked: this machine has no usable GPU." >&2
    exit 3
}
cat "$folder/probe.log"

latency run default 150 --backend cusparselt --dtype bfloat16 --json "$folder/default.json"
latency run cutlass 60 --backend cutlass --dtype bfloat16 --shapes 4096 8192 1024x16x4096 \
    --json "$folder/cutlass.json"
latency run float16 60 --backend cusparselt --dtype float16 --shapes 4096 8192 4096x16x4096 \
    1000x2000x1000 --json "$folder/float16.json"
latency run int8 60 --backend cusparselt --dtype int8 --shapes 4096 8192 4096x32x4096 \
    --json "$folder/int8.json"
if [ -f "$folder/default.json" ]; then
    step independent 150 "$PYTHON" "$root/tests/gpu/independent.py" "$folder/default.json" \
        "$folder/independent.json"
fi

"$LBC_PYTHON" "$root/tests/gpu/verdict.py" "$folder" >"$folder/verdict.txt"
verdict=$?
cat "$folder/verdict.txt"
exit "$verdict"
