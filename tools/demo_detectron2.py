#!/usr/bin/env python3
"""Draw the part-aware panoptic segmentation of photos, as a Detectron2 model predicts it.

    python tools/demo_detectron2.py --config-file FILE --input photo.jpg --output pictures \
        MODEL.WEIGHTS model_final.pth

For each photo it writes `<name>_pps.png`: the photo under the colours of the classes, instances and
parts that were found, with a legend beside it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import DefaultPredictor
from detectron2.modeling import PanopticFPN
from torch import Tensor

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2 import add_pps_config, use_fused_merge
from pps_torch.integrations.detectron2.config import load_eval_spec
from pps_torch.integrations.detectron2.weights import check_weights
from pps_torch.io.atomic import make_folder
from pps_torch.io.errors import InputError
from pps_torch.io.image_files import read_size
from pps_torch.io.images import read_photo, write_rgb
from pps_torch.printing import printable
from pps_torch.visualization import colorize_pps, legend, overlay, pps_legend_entries, with_legend


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, help="file of a Detectron2 configuration")
    parser.add_argument("--input", required=True, nargs="+", type=Path, help="photos")
    parser.add_argument("--output", required=True, type=Path, help="folder for the pictures")
    parser.add_argument("--alpha", type=float, default=0.6, help="weight of the colours, 0 to 1")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="keys and values to overwrite")
    return parser.parse_args(argv)


def load_config(config_file: str, opts: list[str]) -> CfgNode:
    """Read a configuration and overwrite values of it; without a GPU the device is the CPU."""
    cfg = get_cfg()
    add_pps_config(cfg)
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    cfg.merge_from_file(config_file)
    cfg.merge_from_list(opts)
    cfg.freeze()
    return cfg


def build_predictor(cfg: CfgNode, spec: EvalSpec) -> DefaultPredictor:
    """Build Detectron2's predictor; a plain PanopticFPN also predicts PPS maps, without parts."""
    check_weights(cfg.MODEL.WEIGHTS, "MODEL.WEIGHTS")
    predictor = DefaultPredictor(cfg)
    if type(predictor.model) is PanopticFPN:
        use_fused_merge(predictor.model, spec=spec, paste_masks=cfg.MODEL.PPS.PASTE_MASKS)
    return predictor


def draw(photo: Tensor, pps: Tensor, spec: EvalSpec, alpha: float) -> Tensor:
    """Draw a PPS map `(3, H, W)` over a photo `(3, H, W)`, with a legend beside them."""
    picture = overlay(photo, colorize_pps(pps, spec), pps[0] == spec.ignore_label, alpha)
    return with_legend(picture, legend(pps_legend_entries(pps, spec), tuple(pps.shape[-2:])))


def draw_all(args: argparse.Namespace) -> None:
    """Draw every photo; a photo that cannot be read is an InputError before the model is built."""
    sizes = [read_size(path) for path in args.input]
    cfg = load_config(args.config_file, args.opts)
    spec = load_eval_spec(cfg)
    predictor = build_predictor(cfg, spec)
    make_folder(args.output)
    for path, size in zip(args.input, sizes):
        rgb = read_photo(path, size)
        outputs = predictor(rgb[::-1].transpose(1, 2, 0))  # (H, W, 3), BGR
        if "pps" not in outputs:
            raise InputError(
                "MODEL.META_ARCHITECTURE: expected a model that predicts PPS maps, found "
                f"{cfg.MODEL.META_ARCHITECTURE}"
            )
        picture = draw(torch.from_numpy(rgb), outputs["pps"].cpu(), spec, args.alpha)
        target = args.output / f"{path.stem}_pps.png"
        write_rgb(target, picture.numpy())
        print(target)


def main(argv: list[str] | None = None) -> None:
    """Draw every photo; input that cannot be read is an error of one line, with exit code 2."""
    try:
        draw_all(parse_args(argv))
    except InputError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
