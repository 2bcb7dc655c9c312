"""`pps-torch NAME ...`: a command line becomes a call of a function in `pps_torch.pipelines`."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pps_torch.cli.command_line import CommandLine, read_command_line
from pps_torch.cli.interrupts import Interrupts
from pps_torch.io.errors import InputError
from pps_torch.io.progress import Progress
from pps_torch.io.terminal import print_message
from pps_torch.printing import printable

if TYPE_CHECKING:
    from pps_torch.pipelines import RunOptions

# What a command needs is imported when it runs, so that -h and a mistyped argument answer sooner.


def main(arguments: Sequence[str] | None = None, command: str | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words of the command line; default: those of this process, which then ends
            within a second of Ctrl-C.
        command: the command, where the words do not begin with it.

    Returns:
        The exit code: 0, or 2 for wrong arguments or input, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    line = read_command_line([command, *words] if command else words)
    progress = Progress()
    interrupts = Interrupts(lambda: _stop_message(line, progress))
    if arguments is None:
        interrupts.install()
    try:
        code = _run(line, progress)
        interrupts.ignore()
        return code
    except KeyboardInterrupt:
        pass  # the progress bar closes as this is left
    except Exception as error:
        # Where Ctrl-C meets it leaving a lock, or importing in C, Python says something else.
        if not (interrupts.was_met or isinstance(error.__context__, KeyboardInterrupt)):
            raise
    return interrupts.end()


def _run(line: CommandLine, progress: Progress) -> int:
    """Run a command in this process, which may be one of several; return the exit code."""
    from pps_torch.pipelines.running.options import RunOptions
    from pps_torch.pipelines.running.processes import joined_processes, processes_of_environment
    from pps_torch.specs import SpecError

    logging.getLogger("PIL").addHandler(logging.NullHandler())  # it tells of damaged files
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # and these are errors anyway
        try:
            processes = processes_of_environment()
            if processes.world_size > 1 and not line.command.shares_images:
                raise InputError(
                    f"{line.command.name}: runs in one process, found WORLD_SIZE "
                    f"{processes.world_size}"
                )
            with joined_processes(
                processes,
                stop_message=lambda: _stop_message(line, progress),
                error_message=lambda error: _error_message(line, error),
            ):
                options = RunOptions(**line.options, processes=processes, progress=progress)
                warnings.showwarning = lambda message, *_: options.warn(str(message))
                _call(line, options)
        except (InputError, SpecError) as error:
            print_message(f"error: {printable(_error_message(line, error))}")
            return 2
    return 0


def _call(line: CommandLine, options: RunOptions) -> None:
    """Call the function of a command, and show the table of what it returns."""
    if line.command.name == "env":
        from pps_torch.env import environment_table

        options.show(environment_table())
        return
    import pps_torch.pipelines
    from pps_torch.pipelines.running.results import UnsavedResult

    function = getattr(pps_torch.pipelines, line.command.name)
    try:
        result = function(**line.arguments, options=options)
    except UnsavedResult as error:
        options.show(error.result.table())
        raise
    except OSError as error:
        name = "" if error.filename is None else f"{error.filename}: "
        raise InputError(f"{name}{error.strerror or error}") from error
    if line.command.shows_table:
        options.show(result.table())


def _stop_message(line: CommandLine, progress: Progress) -> str:
    """What was done and what is left when a command is stopped."""
    after = f" after {progress}" if progress.total else ""
    return f"stopped{after}; {line.command.when_stopped}"


def _error_message(line: CommandLine, error: ValueError) -> str:
    """An error with the names that parameters have on the command line."""
    if isinstance(error, InputError):
        return error.text(lambda parameter: line.names.get(parameter, parameter))
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
