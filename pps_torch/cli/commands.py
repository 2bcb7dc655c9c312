"""The commands: what each does, and its arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

_RESUMED = "the files written so far are complete, and the same command does the rest"
_AT_THE_END = "the result is written at the end, whole or not at all"


class Command(NamedTuple):
    """A command, named after the function that it calls.

    Attributes:
        name: the name of the command and of the function in `pps_torch.pipelines`; `env` alone
            prints `pps_torch.env.environment_table()`.
        help: what the command does.
        add_arguments: adds the parameters of the function to a parser.
        when_stopped: what to say of the output after Ctrl-C.
        shares_images: whether the processes of torchrun share the work, image by image.
        shows_table: whether to print the table of the result.
        has_common_options: whether it takes the options of a job: device, workers, ...
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    when_stopped: str = "the files written so far are complete"
    shares_images: bool = False
    shows_table: bool = False
    has_common_options: bool = True


def _prepare_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset_dir",
        metavar="DATASET_DIR",
        help="ground-truth maps of the split; Other: any maps or photos, or a COCO JSON",
    )
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", help="where images.json goes")
    parser.add_argument("dataset", metavar="DATASET", choices=("Cityscapes", "Pascal", "Other"))
    parser.add_argument(
        "--ending", default="", help="Other: what follows the id in each name, such as _gt"
    )


def _new_spec_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "classes",
        metavar="CLASSES",
        help="a COCO JSON with categories, or a text file with a name in each line",
    )
    parser.add_argument("output", metavar="OUTPUT_YAML", help="the evalspec: NAME_evalspec.yaml")
    parser.add_argument(
        "--things",
        nargs="+",
        metavar="NAME",
        help="classes with instances; default: as isthing says, else all",
    )


def _merge_to_panoptic_arguments(parser: argparse.ArgumentParser) -> None:
    _add_eval_spec(parser)
    parser.add_argument(
        "inst_pred",
        metavar="INST_PRED",
        help="COCO: a JSON, or a folder with one per image; Cityscapes: the folder of txt and PNGs",
    )
    parser.add_argument("sem_pred_dir", metavar="SEM_PRED_DIR", help="PNGs of scene class ids")
    parser.add_argument(
        "output_dir", metavar="OUTPUT_DIR", help="gets panoptic.json and panoptic/*.png"
    )
    _add_images_json(parser)
    parser.add_argument("--instseg_format", choices=("COCO", "Cityscapes"), default="COCO")
    parser.add_argument(
        "--score_threshold", type=float, default=0.5, help="drop instances below it (0.5)"
    )
    parser.add_argument(
        "--overlap_threshold",
        type=float,
        default=0.5,
        help="drop instances of which better ones cover a larger fraction (0.5)",
    )
    parser.add_argument(
        "--stuff_area_limit", type=int, default=1024, help="pixels a stuff segment needs (1024)"
    )


def _merge_to_pps_arguments(parser: argparse.ArgumentParser) -> None:
    _add_eval_spec(parser)
    parser.add_argument("panoptic_dir", metavar="PANOPTIC_DIR", help="PNGs of segment ids")
    parser.add_argument("panoptic_json", metavar="PANOPTIC_JSON", help="their segments")
    parser.add_argument("part_pred_dir", metavar="PART_PRED_DIR", help="PNGs of flat part ids")
    _add_images_json(parser)
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", help="gets a file for each image")
    parser.add_argument(
        "--form",
        choices=("png", "png16", "npz", "uids", "uids_png"),
        default="png",
        help="of the files: PNGs of 3 x 8 or 3 x 16 bits, NPZ, uids in TIFFs or PNGs (png)",
    )


def _eval_partpq_arguments(parser: argparse.ArgumentParser) -> None:
    _add_eval_spec(parser)
    parser.add_argument("gt_dir", metavar="GT_DIR", help="ground-truth TIFFs")
    parser.add_argument("pred_dir", metavar="PRED_DIR", help="PPS maps: PNGs, NPZ or TIFFs of uids")
    _add_images_json(parser)
    parser.add_argument("--save_dir", metavar="DIR", help="gets <spec name>_results.json")
    _add_tables(parser)
    _add_metrics(parser, "mIoU", "PartIoU")
    _add_reference_layout(parser, "<spec name>_reference.json, PartPQ as panoptic_parts writes it")


def _eval_pq_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gt_json_file", metavar="F", required=True, help="ground truth")
    parser.add_argument("--pred_json_file", metavar="F", required=True, help="predictions")
    parser.add_argument("--gt_folder", metavar="D", help="its PNGs; default: F without .json")
    parser.add_argument("--pred_folder", metavar="D", help="their PNGs; default: F without .json")
    parser.add_argument("--save_dir", metavar="DIR", help="gets pq_results.json")
    _add_tables(parser)
    parser.add_argument(
        "--rules",
        choices=(
            "coco",
            "cityscapes",
            "panopticapi",
            "panoptic_parts",
            "torchmetrics",
            "deeplab2",
            "deeplab2_labels",
        ),
        default="coco",
        help="whose PQ it is (coco)",
    )
    _add_metrics(parser, "mIoU", "PQ-dagger", "BoundaryPQ")
    parser.add_argument(
        "--dilation_ratio",
        type=float,
        metavar="R",
        help="of BoundaryPQ: width of a boundary, a fraction of the image's diagonal (0.02; 0.005 "
        "by the rules of cityscapes)",
    )
    _add_reference_layout(parser, "pq_reference.json, PQ as panopticapi writes it")


def _visualize_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "eval_spec",
        metavar="EVAL_SPEC",
        help="as elsewhere; with --panoptic_json also a JSON with COCO categories",
    )
    parser.add_argument(
        "maps", metavar="MAPS", help="a file or folder: PPS PNGs, TIFFs of uids, panoptic PNGs"
    )
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", help="gets the pictures")
    parser.add_argument("--photos", metavar="DIR", help="photos for overlays")
    parser.add_argument("--panoptic_json", metavar="F", help="segments of COCO panoptic PNGs")
    _add_palette(parser)


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "evaluation",
        metavar="EVALUATION",
        nargs="+",
        help="the --save_dir of eval_partpq or eval_pq --tables, the folder of a Detectron2 "
        "evaluator with tables, or a *_tables.json in it; two of them are compared",
    )
    parser.add_argument("output", metavar="OUTPUT_HTML", help="the file to write")
    parser.add_argument(
        "--title", metavar="TEXT", help="heading (the name of the spec or the ground truth)"
    )
    parser.add_argument("--photos", metavar="DIR", help="photos of the images")
    parser.add_argument("--gt", metavar="DIR", help="ground truth, where it has moved since")
    parser.add_argument("--pred", metavar="DIR", help="predictions, where they have moved since")
    parser.add_argument(
        "--num_images",
        type=int,
        help="images to show at most (24, or as many as all classes that lost something need)",
    )
    parser.add_argument(
        "--side", type=int, default=768, help="their longer side at most, in pixels (768)"
    )
    parser.add_argument(
        "--max_size", type=float, default=16, help="megabytes at most; fewer images if need be (16)"
    )
    _add_palette(parser)


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    _add_eval_spec(parser)
    parser.add_argument("output", metavar="OUTPUT", help="the file to write: .onnx, else .pt2")
    parser.add_argument(
        "--format",
        choices=("onnx", "pt2", "aoti"),
        required=True,
        help="onnx: ONNX Runtime and others; pt2: torch.export.load; aoti: AOTInductor, also C++",
    )
    parser.add_argument(
        "--image_size",
        nargs=2,
        type=int,
        metavar=("H", "W"),
        required=True,
        help="pixels of the maps that it makes",
    )
    parser.add_argument(
        "--merge",
        choices=("heads", "masks", "boxes", "queries", "centers"),
        default="heads",
        help="heads: logits and boxes to panoptic and PPS maps; else a panoptic map (heads)",
    )
    parser.add_argument(
        "--num_instances", type=int, metavar="N", help="instances or queries; default: any number"
    )
    parser.add_argument("--batch", type=int, metavar="B", help="images; default: any number")


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output_dir", metavar="DIR", default="pps_torch_demo", help="(pps_torch_demo)"
    )


def _env_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def _add_eval_spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "eval_spec",
        metavar="EVAL_SPEC",
        help="cpp_default, cpp_grouped, ppp_default, ppp_107, or the path of an EvalSpec",
    )


def _add_images_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images_json", metavar="IMAGES_JSON", help="list of images (prepare_data)")


def _add_tables(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tables",
        action="store_true",
        help="it also gets tables of all segments and images (CSV, JSON), which report reads",
    )


def _add_metrics(parser: argparse.ArgumentParser, *names: str) -> None:
    parser.add_argument(
        "--metrics", nargs="+", choices=names, default=(), help="count these in the same run, too"
    )


def _add_reference_layout(parser: argparse.ArgumentParser, file: str) -> None:
    parser.add_argument("--reference_layout", action="store_true", help=f"it also gets {file}")


def _add_palette(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--palette",
        choices=("class", "colorblind"),
        default="class",
        help="the data set's colours, or those of Okabe and Ito and further ones (class)",
    )


COMMANDS = (
    Command("prepare_data", "list the images of a split in images.json", _prepare_data_arguments),
    Command("new_spec", "write the spec files of a data set of your own", _new_spec_arguments),
    Command(
        "merge_to_panoptic",
        "merge semantic and instance predictions to panoptic ones",
        _merge_to_panoptic_arguments,
        when_stopped=_RESUMED,
        shares_images=True,
    ),
    Command(
        "merge_to_pps",
        "merge panoptic and part predictions to PPS maps",
        _merge_to_pps_arguments,
        when_stopped=_RESUMED,
        shares_images=True,
    ),
    Command(
        "eval_partpq",
        "evaluate PPS maps with PartPQ",
        _eval_partpq_arguments,
        when_stopped=_AT_THE_END,
        shares_images=True,
        shows_table=True,
    ),
    Command(
        "eval_pq",
        "evaluate COCO panoptic predictions with PQ",
        _eval_pq_arguments,
        when_stopped=_AT_THE_END,
        shares_images=True,
        shows_table=True,
    ),
    Command(
        "visualize",
        "colour maps, with a legend and over photos",
        _visualize_arguments,
        when_stopped=_RESUMED,
    ),
    Command(
        "report",
        "turn an evaluation, or the change between two, into one HTML file for any browser",
        _report_arguments,
    ),
    Command(
        "export",
        "write the merge of a spec's heads as a program, and compare it with the eager call",
        _export_arguments,
    ),
    Command("demo", "run everything on a few small streets that it draws", _demo_arguments),
    Command(
        "env",
        "print versions and what is available, for bug reports",
        _env_arguments,
        has_common_options=False,
    ),
)
