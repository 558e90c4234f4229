#!/usr/bin/env bash
# Train on any number of Slurm nodes, one process per GPU, as jax wants it:
#   sbatch --nodes=4 --ntasks-per-node=8 --gpus-per-node=8 launch/slurm.sh \
#       --config=configs/ddgan_cifar10.py --workdir=/shared/runs/cifar10
# The processes find each other through Slurm. --workdir is on a file system that all nodes share.
#
# Preemption and the end of the time limit: every process gets SIGTERM, all save one checkpoint and
# leave with status 143; a dead node makes the others leave with 75 (or 134, jax's own watchdog).
# Either way the job goes back into the queue and goes on from its last checkpoint, at most
# MAX_RESTARTS times (100): where one task fails for good, the others are killed, which looks alike.
#SBATCH --job-name=ddgan_jax
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=ddgan_jax-%j.log
#SBATCH --signal=TERM@180
set -euo pipefail
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}" # srun does not take it from sbatch
status=0
# --kill-on-bad-exit: a task that fails does not leave the others waiting.
srun --kill-on-bad-exit=1 python -m ddgan_jax.main "$@" || status=$?
case $status in
75 | 134 | 137 | 143)
    if [ "${SLURM_RESTART_COUNT:-0}" -ge "${MAX_RESTARTS:-100}" ]; then
        echo "ended with status $status after ${SLURM_RESTART_COUNT:-0} restarts: for a person" >&2
    else
        echo "ended with status $status: back into the queue" >&2
        scontrol requeue "$SLURM_JOB_ID"
    fi
    ;;
esac
exit "$status"
