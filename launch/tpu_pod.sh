#!/usr/bin/env bash
# Train on a Cloud TPU pod slice by running one command on every host.
#
#   export TPU=my-pod ZONE=us-east5-b TYPE=v5litepod-32      # PROJECT: default of gcloud
#   launch/tpu_pod.sh create       # requests the slice and waits for it; SPOT=1: a spot slice
#   launch/tpu_pod.sh copy         # copies the committed code to all hosts, installs dependencies
#   launch/tpu_pod.sh all 'mkdir -p tensorflow_datasets && gcloud storage cp -r gs://bucket/tfds/cifar10 tensorflow_datasets/'
#   launch/tpu_pod.sh run --config=configs/ddgan_cifar10.py --workdir=gs://bucket/runs/cifar10
#   launch/tpu_pod.sh logs         # follows the log of process 0
#   launch/tpu_pod.sh stop         # SIGTERM: saves a checkpoint, from which `run` resumes
#   launch/tpu_pod.sh delete
#
# After preemption of a spot slice: delete, create, copy, all, run. The same --workdir resumes from its
# last checkpoint, also on a slice of another size.
set -euo pipefail
verb=${1:?usage: launch/tpu_pod.sh create|copy|all|run|logs|stop|delete [flags of ddgan_jax.main]}
shift
: "${TPU:?the name of the slice is needed}" "${ZONE:?the zone of the slice is needed}"
where=(--zone="$ZONE")
[ -z "${PROJECT:-}" ] || where+=(--project="$PROJECT")

on() { # on HOST COMMAND: HOST is a number, or all
    gcloud compute tpus tpu-vm ssh "$TPU" "${where[@]}" --worker="$1" --command="$2"
}

case $verb in
create)
    kind=()
    [ -z "${SPOT:-}" ] || kind=(--spot)
    gcloud compute tpus queued-resources create "$TPU" --node-id="$TPU" "${where[@]}" \
        --accelerator-type="${TYPE:?a type such as v5litepod-32 is needed}" \
        --runtime-version="${RUNTIME:-v2-alpha-tpuv5-lite}" ${kind[@]+"${kind[@]}"}
    until state=$(gcloud compute tpus queued-resources describe "$TPU" "${where[@]}" \
        --format="value(state.state)") && [ "$state" = ACTIVE ]; do
        case $state in FAILED | SUSPENDED) echo "the state of the request is $state" >&2; exit 1 ;; esac
        echo "waiting for the slice: $state"
        sleep 30
    done
    ;;
copy)
    cd "$(dirname "$0")/.."
    git diff --quiet HEAD || echo "uncommitted changes are not copied" >&2
    archive=$(mktemp)
    trap 'rm -f "$archive"' EXIT
    git archive --format=tar.gz --output="$archive" HEAD
    gcloud compute tpus tpu-vm scp "$archive" "$TPU:ddgan_jax.tar.gz" "${where[@]}" --worker=all
    on all "mkdir -p ddgan_jax && tar -xzf ddgan_jax.tar.gz -C ddgan_jax &&
        pip install --quiet uv && python3 -m uv venv --quiet --clear --python=3.12 venv &&
        python3 -m uv pip install --quiet --python=venv -e './ddgan_jax[tpu]' gcsfs"
    ;;
all) on all "$*" ;;
run)
    # In the background, so that a lost connection does not end the run. In the environment of `copy`,
    # because the Python of the image may be too old.
    printf -v flags ' %q' "$@"
    on all "if kill -0 \$(cat ddgan_jax.pid 2>/dev/null) 2>/dev/null; then
        echo 'a run is active; stop it first' >&2; exit 1; fi
        . venv/bin/activate && cd ddgan_jax &&
        { nohup python -m ddgan_jax.main$flags >../ddgan_jax.log 2>&1 & } &&
        echo \$! >../ddgan_jax.pid"
    ;;
logs) on 0 "tail -n 100 -F ddgan_jax.log" ;;
stop) on all "kill -TERM \$(cat ddgan_jax.pid)" ;;
delete) gcloud compute tpus queued-resources delete "$TPU" "${where[@]}" --force --quiet ;;
*) echo "the command is $verb; create, copy, all, run, logs, stop or delete is needed" >&2; exit 2 ;;
esac
