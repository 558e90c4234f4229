#!/usr/bin/env bash
# From a published checkpoint of DDGAN, a netG_N.pth, to a run folder and its pictures:
#
#   examples/published.sh CHECKPOINT IMAGE_SIZE STEPS [RUN]
#
# CHECKPOINT is a file of the published code; IMAGE_SIZE and STEPS are what it was trained with (32
# and 4 for CIFAR-10, 256 and 2 for CelebA-HQ): the file does not hold them. Its networks are read
# from the file. PyTorch is not needed, and nothing in the file is executed. RUN (default:
# runs/published) is a run folder like any other: evaluate, export and train --init_from take it.
set -euo pipefail
usage="usage: examples/published.sh CHECKPOINT IMAGE_SIZE STEPS [RUN]"
checkpoint=${1:?$usage}
size=${2:?$usage}
steps=${3:?$usage}
run=${4:-runs/published}

# With a small checkpoint (209,427 parameters, 16x16) the three commands took 13 s on one core.
python -m ddgan_jax convert --source=ddgan --checkpoint="$checkpoint" --workdir="$run" \
    --config=ddgan_cifar10 --config.data.image_size="$size" --config.diffusion.num_steps="$steps"
python -m ddgan_jax sample --workdir="$run" --num_images=16
python -m ddgan_jax sample --workdir="$run" --format=png --seeds=0-9 --out="$run/samples/single"
