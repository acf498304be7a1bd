#!/bin/sh
# The whole story on generated patients, command by command: a first model, a round, a comparison, a promotion, drift, an
# alarm, and the way back.  `make demo-loop` runs it; each command is printed before it runs.
#
# usage: loop.sh OUT     TRAIN: the command that turns a dataset into a model, `TRAIN ORGANIZED MODEL.onnx --steps N`;
#                        IMAGES and SIZES: of the dataset; NEW: patients who come in
set -eu
export RADLOOP_OUT="${1:?usage: loop.sh OUT}"
out=$RADLOOP_OUT
train=${TRAIN:-python -m study.on_dataset}
source="--source synthetic:${IMAGES:-1950} --sizes ${SIZES:-training=300,validation=100,test=50,staging=700,canary=700,production=100}"

say() { printf '\n== %s\n' "$*"; }
run() { printf '\n$ %s\n' "$*"; "$@"; }
ends_with() { # the exit status that a command has to have
    want=$1 && shift
    printf '\n$ %s\n' "$*"
    status=0 && "$@" || status=$?
    printf '(exit %s)\n' "$status"
    [ "$status" -eq "$want" ] || { echo "loop.sh: exit $status, where $want was due" >&2 && exit 1; }
}
version() { python -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' "$out/organized/summary.json"; }

say "A dataset, and a first model that has learned from it"
run radloop etl $source
first=$(version)
run $train "$out/organized" "$out/first.onnx" --steps 60
run radloop promote "onnx:$out/first.onnx" --force --reason "the first model: nothing to compare it with"

say "A round: the model in use looks, radiologists read, what they said joins the dataset"
run radloop simulate --detector champion --splits validation,production --load-pattern 2 --stage-seconds 15
run radloop review --simulated
run radloop retrain
run radloop etl $source --add "$out/organized/retrain/retrain.csv"

say "A second model may follow it where staging and then canary say so"
run $train "$out/organized" "$out/second.onnx" --steps 600
run radloop compare champion "onnx:$out/second.onnx" --splits staging
run radloop compare champion "onnx:$out/second.onnx" --splits canary
run radloop promote "onnx:$out/second.onnx"

say "The other way round the gates hold"
ends_with 4 radloop compare champion "onnx:$out/first.onnx" --splits staging

say "In use: new patients come in, then a tube fails and all pictures are darker"
run radloop extract --source "synthetic:${NEW:-900}" --seed 1 --out "$out/new-patients"
run radloop ingest --from "$out/new-patients/raw/train"
run radloop simulate --detector champion --splits incoming --arrival poisson:20 --load-pattern 1 --stage-seconds 55
ends_with 0 radloop monitor --block 1s
run radloop simulate --detector champion --splits incoming --arrival poisson:20 --load-pattern 1 --stage-seconds 55 --drift brightness:-0.3@1
ends_with 5 radloop monitor --block 1s

say "The way back"
run radloop rollback --model previous --reason "until the tube is mended"
run radloop versions
run radloop rollback --data "$first"
run radloop check "$out/store"
say "Look at it: radloop dashboard --out $out"
