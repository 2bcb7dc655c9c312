#!/usr/bin/env python3
"""Train or evaluate the model of a Detectron2 configuration, with PQ and PartPQ.

    python tools/train_net.py --config-file configs/.../FILE.yaml --num-gpus 8
    python tools/train_net.py --config-file FILE --eval-only MODEL.WEIGHTS model_final.pth

The arguments are those of Detectron2's own train_net.py; keys and values at the end overwrite those
of the configuration. `--eval-only` evaluates all images, whatever `TEST.PPS.SUBSET` says, which is
for evaluations during training. `--num-gpus 0` and `MODEL.DEVICE cpu` run it on the CPU. With
`TEST.PPS.TABLES True` the evaluation writes tables and the evaluated maps to
`OUTPUT_DIR/inference`; `pps-torch report` makes a page of them.
"""

from __future__ import annotations

import argparse
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from pps_torch.integrations.detectron2 import PPSTrainer, add_pps_config
from pps_torch.integrations.detectron2.weights import check_weights


def setup(args: argparse.Namespace) -> CfgNode:
    """Read the configuration of a run, freeze it, and set up logging."""
    cfg = get_cfg()
    add_pps_config(cfg)
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.freeze()
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="pps_torch")
    return cfg


def main(args: argparse.Namespace) -> dict[str, Any] | None:
    """Run one process of a training or evaluation, and return the results of the evaluation."""
    cfg = setup(args)
    if not args.eval_only:
        trainer = PPSTrainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        return trainer.train()
    model = PPSTrainer.build_model(cfg)
    checkpointer = DetectionCheckpointer(model, save_dir=cfg.OUTPUT_DIR)
    if not (args.resume and checkpointer.has_checkpoint()):
        check_weights(cfg.MODEL.WEIGHTS, "MODEL.WEIGHTS")
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
    results = PPSTrainer.test(cfg, model)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results


if __name__ == "__main__":
    args = default_argument_parser(__doc__).parse_args()
    launch(
        main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )
