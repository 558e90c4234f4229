#!/usr/bin/env bash
# Train on any number of Slurm nodes, with one process per GPU:
#   sbatch --nodes=4 --ntasks-per-node=8 --gpus-per-node=8 launch/slurm.sh \
#       --config=configs/ddgan_cifar10.py --workdir=/shared/runs/cifar10
# The processes find each other through Slurm. --workdir must be on a file system that all nodes
# share.
#
# At preemption and at the end of the time limit every process gets SIGTERM; they save one
# checkpoint and exit with status 143. When a node dies, the other processes exit with 75, or with
# 134 (jax's watchdog). In these cases the job is requeued and resumes from its last checkpoint, at
# most MAX_RESTARTS times (default: 100), because a task that always fails looks the same: Slurm
# kills the other tasks (137).
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
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}" # srun does not inherit it from sbatch
status=0
# --kill-on-bad-exit: when a task fails, the others do not wait for it.
srun --kill-on-bad-exit=1 python -m ddgan_jax.main "$@" || status=$?
case $status in
75 | 129 | 134 | 137 | 138 | 143)
    if [ "${SLURM_RESTART_COUNT:-0}" -ge "${MAX_RESTARTS:-100}" ]; then
        echo "ended with status $status after ${SLURM_RESTART_COUNT:-0} restarts: not requeued" >&2
    else
        echo "ended with status $status: requeued" >&2
        scontrol requeue "$SLURM_JOB_ID"
    fi
    ;;
esac
exit "$status"
