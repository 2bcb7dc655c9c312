"""The command line, read: which command, and the arguments for its function."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

from pps_torch.cli.commands import COMMANDS, Command
from pps_torch.version import __version__

_COMMON_OPTIONS = ("device", "workers", "overwrite", "quiet")


class CommandLine(NamedTuple):
    """A command line, read.

    Attributes:
        command: the command.
        arguments: the values for the function of the command, by parameter.
        options: the values for `RunOptions`, by field.
        names: what the command line calls each of them: `--workers`, `EVAL_SPEC`.
    """

    command: Command
    arguments: dict[str, Any]
    options: dict[str, Any]
    names: dict[str, str]


def read_command_line(words: Sequence[str]) -> CommandLine:
    """Read the words of a command line; wrong ones end the process with usage and exit code 2."""
    parsed, unknown_words = build_parser().parse_known_args(words)
    arguments = vars(parsed)
    command, parser = arguments.pop("command"), arguments.pop("parser")
    if unknown_words:
        parser.error(f"unrecognized arguments: {' '.join(unknown_words)}")
    options = {name: arguments.pop(name) for name in _COMMON_OPTIONS if name in arguments}
    names = {
        action.dest: action.option_strings[0] if action.option_strings else action.metavar
        for action in parser._actions
    }
    return CommandLine(command, arguments, options, names)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="pps-torch", description="Panoptic and part-aware panoptic segmentation, file to file."
    )
    parser.add_argument("--version", action="version", version=f"pps_torch {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        description = f"{command.help[0].upper()}{command.help[1:]}."
        subparser = subparsers.add_parser(command.name, help=command.help, description=description)
        subparser.set_defaults(command=command, parser=subparser)
        command.add_arguments(subparser)
        if command.has_common_options:
            _add_common_options(subparser)
    return parser


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    common = parser.add_argument_group("common options")
    common.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:INDEX")
    common.add_argument("--workers", type=int, help="threads; default: one per core, at most 8")
    common.add_argument("--overwrite", action="store_true", help="replace earlier output")
    common.add_argument("--quiet", action="store_true", help="no progress bar and no notes")
