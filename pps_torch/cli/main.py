"""`pps-torch NAME ...`: arguments only; each command calls one function of the pipelines."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pps_torch.cli.interrupts import Interrupts
from pps_torch.io.progress import Progress

if TYPE_CHECKING:
    from pps_torch.pipelines.running.options import RunOptions
    from pps_torch.pipelines.running.processes import Processes

#: The commands that share their images among the processes of torchrun.
_IN_PROCESSES = ("merge_to_panoptic", "merge_to_pps", "eval_partpq", "eval_pq")

_RESUMED = "the files written so far are complete, and the same command does the rest"
_AT_THE_END = "the result is written at the end, whole or not at all"

#: What is left of a command that was stopped.
_LEFT = {
    "merge_to_panoptic": _RESUMED,
    "merge_to_pps": _RESUMED,
    "visualize": _RESUMED,
    "eval_partpq": _AT_THE_END,
    "eval_pq": _AT_THE_END,
}

# Each command imports its pipeline when it runs, so that -h and a mistyped argument answer sooner.


def main(arguments: Sequence[str] | None = None, command: str | None = None) -> int:
    """Runs a command.

    Args:
        arguments: the words of the command line; default: those of this process, which then ends
            within a second of Ctrl-C.
        command: the command, where the words do not begin with it.

    Returns:
        The exit code: 0, or 2 for wrong arguments or input, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parse([command, *words] if command else words)
    progress = Progress()
    interrupts = Interrupts(lambda: _stopped(parsed.name, progress))
    if arguments is None:
        interrupts.hear()
    try:
        code = _run(parsed, progress)
        interrupts.ignore()
        return code
    except KeyboardInterrupt:
        pass  # the progress bar closes as this is left
    return interrupts.end()


def _parse(words: list[str]) -> argparse.Namespace:
    """The command's arguments; of a word that it does not know, its own usage tells."""
    parsed, unknown = _parser().parse_known_args(words)
    if unknown:
        parsed.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return parsed


def _stopped(command: str, progress: Progress) -> str:
    after = f" after {progress}" if progress.total else ""
    return f"stopped{after}; {_LEFT.get(command, 'the files written so far are complete')}"


def _run(parsed: argparse.Namespace, progress: Progress) -> int:
    from pps_torch.io.errors import InputError, printable
    from pps_torch.pipelines.running.processes import joined_processes, processes_of_environment
    from pps_torch.specs import SpecError

    logging.getLogger("PIL").addHandler(logging.NullHandler())  # it tells of damaged files
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # and these are errors anyway
        try:
            processes = processes_of_environment()
            if processes.world_size > 1 and not parsed.in_processes:
                raise InputError(
                    f"{parsed.name}: runs in one process, found WORLD_SIZE {processes.world_size}"
                )
            with joined_processes(processes, lambda: _stopped(parsed.name, progress)):
                options = _options(parsed, processes, progress)
                warnings.showwarning = lambda message, *_: options.warn(str(message))
                parsed.run(parsed, options)
        except (InputError, SpecError) as error:
            print(f"error: {printable(error)}", file=sys.stderr)
            return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pps-torch", description="Panoptic and part-aware panoptic segmentation, file to file."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_prepare_data,
        _add_merge_to_panoptic,
        _add_merge_to_pps,
        _add_eval_partpq,
        _add_eval_pq,
        _add_visualize,
        _add_report,
        _add_demo,
    ):
        _add_common(add(commands))
    _add_env(commands)
    return parser


def _command(commands: argparse._SubParsersAction, name: str, help: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
    parser.set_defaults(name=name, parser=parser, in_processes=name in _IN_PROCESSES)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    common = parser.add_argument_group("common options")
    common.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:INDEX")
    common.add_argument("--workers", type=int, help="threads; default: one a core, at most 8")
    common.add_argument("--overwrite", action="store_true", help="replace earlier output")
    common.add_argument("--quiet", action="store_true", help="no progress bar and no notes")


def _options(parsed: argparse.Namespace, processes: Processes, progress: Progress) -> RunOptions:
    from pps_torch.pipelines.running.options import RunOptions

    return RunOptions(
        *(parsed.device, parsed.workers, parsed.overwrite, parsed.quiet), processes, progress
    )


def _add_spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "eval_spec",
        metavar="EVAL_SPEC",
        help="cpp_default, cpp_grouped, ppp_default, ppp_107, or the path of an EvalSpec",
    )


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images_json", metavar="IMAGES_JSON", help="list of images (prepare_data)")


def _add_tables(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tables",
        action="store_true",
        help="it also gets tables of all segments and images (CSV, JSON), which report reads",
    )


def _add_prepare_data(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = _command(commands, "prepare_data", "list the images of a split in images.json")
    parser.add_argument(
        "dataset_dir", metavar="DATASET_DIR", help="ground-truth TIFFs of the split"
    )
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", help="where images.json goes")
    parser.add_argument("dataset", metavar="DATASET", choices=("Cityscapes", "Pascal"))
    parser.set_defaults(run=_prepare_data)
    return parser


def _prepare_data(parsed: argparse.Namespace, options: RunOptions) -> None:
    from pps_torch.pipelines.data_preparation import prepare_data

    prepare_data(parsed.dataset_dir, parsed.output_dir, parsed.dataset, options=options)


def _add_merge_to_panoptic(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = _command(
        commands, "merge_to_panoptic", "merge semantic and instance predictions to panoptic ones"
    )
    _add_spec(parser)
    parser.add_argument(
        "inst_pred",
        metavar="INST_PRED",
        help="COCO: a JSON, or a folder with one per image; Cityscapes: the folder of txt and PNGs",
    )
    parser.add_argument("sem_pred_dir", metavar="SEM_PRED_DIR", help="PNGs of scene class ids")
    parser.add_argument(
        "output_dir", metavar="OUTPUT_DIR", help="gets panoptic.json and panoptic/*.png"
    )
    _add_images(parser)
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
    parser.set_defaults(run=_merge_to_panoptic)
    return parser


def _merge_to_panoptic(parsed: argparse.Namespace, options: RunOptions) -> None:
    from pps_torch.pipelines.panoptic_merging import merge_to_panoptic

    merge_to_panoptic(
        parsed.eval_spec,
        parsed.inst_pred,
        parsed.sem_pred_dir,
        parsed.output_dir,
        parsed.images_json,
        instseg_format=parsed.instseg_format,
        score_threshold=parsed.score_threshold,
        overlap_threshold=parsed.overlap_threshold,
        stuff_area_limit=parsed.stuff_area_limit,
        options=options,
    )


def _add_merge_to_pps(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = _command(
        commands, "merge_to_pps", "merge panoptic and part predictions to 3-channel PPS PNGs"
    )
    _add_spec(parser)
    parser.add_argument("panoptic_dir", metavar="PANOPTIC_DIR", help="PNGs of segment ids")
    parser.add_argument("panoptic_json", metavar="PANOPTIC_JSON", help="their segments")
    parser.add_argument("part_pred_dir", metavar="PART_PRED_DIR", help="PNGs of flat part ids")
    _add_images(parser)
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", help="gets a PNG for each image")
    parser.set_defaults(run=_merge_to_pps)
    return parser


def _merge_to_pps(parsed: argparse.Namespace, options: RunOptions) -> None:
    from pps_torch.pipelines.pps_merging import merge_to_pps

    merge_to_pps(
        parsed.eval_spec,
        parsed.panoptic_dir,
        parsed.panoptic_json,
        parsed.part_pred_dir,
        parsed.images_json,
        parsed.output_dir,
        options=options,
    )


def _add_eval_partpq(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = _command(commands, "eval_partpq", "evaluate PPS PNGs with PartPQ")
    _add_spec(parser)
    parser.add_argument("gt_dir", metavar="GT_DIR", help="ground-truth TIFFs")
    parser.add_argument("pred_dir", metavar="PRED_DIR", help="3-channel PPS PNGs")
    _add_images(parser)
    parser.add_argument("--save_dir", metavar="DIR", help="gets <spec name>_results.json")
    _add_tables(parser)
    parser.set_defaults(run=_eval_partpq)
    return parser


def _eval_partpq(parsed: argparse.Namespace, options: RunOptions) -> None:
    from pps_torch.pipelines.partpq_evaluation import eval_partpq

    result = eval_partpq(
        parsed.eval_spec,
        parsed.gt_dir,
        parsed.pred_dir,
        parsed.images_json,
        save_dir=parsed.save_dir,
        tables=parsed.tables,
        options=options,
    )
    options.show(result.table())


def _add_eval_pq(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = _command(commands, "eval_pq", "evaluate COCO panoptic predictions with PQ")
    parser.add_argument("--gt_json_file", metavar="F", required=True, help="ground truth")
    parser.add_argument("--pred_json_file", metavar="F", required=True, help="predictions")
    parser.add_argument("--gt_folder", metavar="D", help="its PNGs; default: F without .json")
    parser.add_argument("--pred_folder", metavar="D", help="their PNGs; default: F without .json")
    parser.add_argument("--save_dir", metavar="DIR", help="gets pq_results.json")
    _add_tables(parser)
    parser.set_defaults(run=_eval_pq)
    return parser


def _eval_pq(parsed: argparse.Namespace, options: RunOptions) -> None:
    from pps_torch.pipelines.pq_evaluation import eval_pq

    result = eval_pq(
        parsed.gt_json_file,
        parsed.pred_json_file,
        gt_folder=parsed.gt_folder,
        pred_folder=parsed.pred_folder,
        save_dir=parsed.save_dir,
        tables=parsed.tables,
        options=options,
    )
    options.show(result.table())


def _add_visualize(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = _command(commands, "visualize", "colour maps, with a legend and over photos")
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
    parser.set_defaults(run=_visualize)
    return parser


def _add_palette(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--palette",
        choices=("class", "colorblind"),
        default="class",
        help="the data set's colours, or those of Okabe and Ito and further ones (class)",
    )


def _visualize(parsed: argparse.Namespace, options: RunOptions) -> None:
    from pps_torch.pipelines.map_drawing import visualize

    visualize(
        parsed.eval_spec,
        parsed.maps,
        parsed.output_dir,
        photos=parsed.photos,
        panoptic_json=parsed.panoptic_json,
        palette=parsed.palette,
        options=options,
    )


def _add_report(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = _command(
        commands, "report", "turn an evaluation into one HTML file that opens without a network"
    )
    parser.add_argument(
        "evaluation",
        metavar="EVALUATION",
        help="the --save_dir of eval_partpq or eval_pq --tables, the folder of a Detectron2 "
        "evaluator with tables, or a *_tables.json in it",
    )
    parser.add_argument("output", metavar="OUTPUT_HTML", help="the file to write")
    parser.add_argument("--photos", metavar="DIR", help="photos of the images")
    parser.add_argument("--gt", metavar="DIR", help="ground truth, where it has moved since")
    parser.add_argument("--pred", metavar="DIR", help="predictions, where they have moved since")
    parser.add_argument(
        "--num_images", type=int, default=24, help="images to show, the worst first (24)"
    )
    parser.add_argument(
        "--side", type=int, default=768, help="their longer side at most, in pixels (768)"
    )
    parser.add_argument(
        "--max_size", type=float, default=16, help="megabytes at most; fewer images if need be (16)"
    )
    _add_palette(parser)
    parser.set_defaults(run=_report)
    return parser


def _report(parsed: argparse.Namespace, options: RunOptions) -> None:
    from pps_torch.pipelines.html_report import report

    report(
        parsed.evaluation,
        parsed.output,
        photos=parsed.photos,
        gt=parsed.gt,
        pred=parsed.pred,
        num_images=parsed.num_images,
        side=parsed.side,
        max_size=parsed.max_size,
        palette=parsed.palette,
        options=options,
    )


def _add_demo(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = _command(commands, "demo", "run everything on small streets made for the purpose")
    parser.add_argument(
        "--output_dir", metavar="DIR", default="pps_torch_demo", help="(pps_torch_demo)"
    )
    parser.set_defaults(run=_demo)
    return parser


def _demo(parsed: argparse.Namespace, options: RunOptions) -> None:
    from pps_torch.pipelines.demonstration import demo

    demo(parsed.output_dir, options=options)


def _add_env(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "env", "print versions and what is available, for bug reports")
    parser.set_defaults(run=_env, device="cpu", workers=None, overwrite=False, quiet=False)


def _env(parsed: argparse.Namespace, options: RunOptions) -> None:
    from pps_torch.env import table

    options.show(table())


if __name__ == "__main__":
    sys.exit(main())
