#!/usr/bin/env bash
# Loss surfaces of three small nets on the digits of scikit-learn: a plane around a net with shortcuts, a plane around one
# without, and the line from a small-batch to a large-batch minimiser. A demo that was stopped resumes.
set -euo pipefail
cd "$(dirname "$0")/.."

nets=demo/trained_nets
figures=demo/figures
with=$nets/resnet20_sgd_lr=0.1_bs=64_wd=0.0005_mom=0.9_save_epoch=10_noaug/model_10.t7
without=$nets/resnet20_noshort_sgd_lr=0.02_bs=64_wd=0.0005_mom=0.9_save_epoch=20_noaug/model_20.t7
large=$nets/resnet20_sgd_lr=0.1_bs=512_wd=0.0005_mom=0.9_save_epoch=40_noaug/model_40.t7
mkdir -p "$figures"

surface() { mpirun -n 2 python plot_surface.py --mpi --dataset digits --data_split 4 --plot --format pdf png "$@"; }
plane=(--x=-0.6:0.6:17 --y=-0.6:0.6:17 --dir_type weights --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn)

echo "1/3 ResNet-20 with shortcuts"
surface --model resnet20 --model_file "$with" "${plane[@]}" --surf_file "$figures/resnet20.h5"
echo "2/3 ResNet-20 without shortcuts"
surface --model resnet20_noshort --model_file "$without" "${plane[@]}" --surf_file "$figures/resnet20_noshort.h5"
echo "3/3 from the small-batch to the large-batch minimiser"
surface --model resnet20 --model_file "$with" --model_file2 "$large" --dir_type states --x=-0.5:1.5:41 --test_set \
    --surf_file "$figures/small_to_large_batch.h5"

echo
echo "The figures (the .png are the same as the .pdf):"
ls "$PWD/$figures"/*.png
