#!/usr/bin/env bash
# Train on all devices of this machine: launch/local.sh CONFIG WORKDIR [overrides...]
# For example: launch/local.sh configs/ddgan_cifar10.py runs/cifar10 --config.seed=1
set -euo pipefail
config=${1:?usage: launch/local.sh CONFIG WORKDIR [overrides...]}
workdir=${2:?usage: launch/local.sh CONFIG WORKDIR [overrides...]}
shift 2
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
exec python -m ddgan_jax.main --config="$config" --workdir="$workdir" "$@"
