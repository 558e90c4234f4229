#!/usr/bin/env bash
# Compare all methods on this machine: launch/compare.sh DATA OUT [SEED...] [overrides...]
# DATA is digits, toy2d, mnist, ...: every configs/METHOD_DATA.py is trained into
# OUT/METHOD_DATA_seedSEED and evaluated; OUT/page/index.html shows them side by side.
# The same command again goes on where it was. For a few methods, with equal numbers of images:
#   METHODS="ddgan gan" launch/compare.sh digits runs/digits 0 1 --config.train.duration="1e6 images"
set -euo pipefail
usage="usage: launch/compare.sh DATA OUT [SEED...] [overrides...]"
data=${1:?$usage}
out=${2:?$usage}
shift 2
configs=$(cd "$(dirname "$0")/../configs" && pwd)
seeds=() overrides=()
for argument in "$@"; do
    case $argument in
        --*) overrides+=("$argument") ;;
        *) seeds+=("$argument") ;;
    esac
done
[ ${#seeds[@]} -gt 0 ] || seeds=(0)

if [ -z "${METHODS:-}" ]; then
    for config in "$configs"/*_"$data".py; do
        method=$(basename "$config" "_$data.py")
        case $method in
            *_stacked) continue ;;           # of other data
            autoencoder | lddgan) continue ;; # two runs that belong together, see docs/guide.md
        esac
        [ ! -f "$config" ] || METHODS="${METHODS:-} $method"
    done
fi
[ -n "${METHODS:-}" ] || { echo "error: no config is named METHOD_$data.py" >&2; exit 1; }

runs=()
for seed in "${seeds[@]}"; do
    for method in $METHODS; do
        name=${method}_$data
        run=$out/${name}_seed$seed
        echo "== $run"
        python -m ddgan_jax.main --config="$configs/$name.py" --workdir="$run" \
            --config.seed="$seed" ${overrides[@]+"${overrides[@]}"}
        # An evaluation older than the last line of training is of an earlier step.
        if [ ! "$run/evaluation.json" -nt "$run/metrics.jsonl" ]; then
            python -m ddgan_jax.main --mode=evaluate --workdir="$run"
        fi
        runs+=("$run")
    done
done
python -m ddgan_jax.main --mode=compare --runs="$(IFS=,; echo "${runs[*]}")" --out="$out/page"
