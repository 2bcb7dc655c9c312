"""How far a job has come, for the line that says so when it is stopped."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Progress:
    """The images of the step that is being done; before the first step there are none.

    Attributes:
        step: what is done with them, e.g. "evaluating".
        done: how many are done.
        total: how many there are.

    Example:
        >>> from pps_torch.io.progress import Progress
        >>> print(Progress("merging", 3, 500))
        merging 3 of 500 images
    """

    step: str = ""
    done: int = 0
    total: int = 0

    def begin(self, step: str, total: int) -> None:
        """The next step, of which nothing is done."""
        self.step, self.done, self.total = step, 0, total

    def __str__(self) -> str:
        return f"{self.step} {self.done} of {self.total} images"
