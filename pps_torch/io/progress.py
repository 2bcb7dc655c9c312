"""The progress of a job, for the line that is printed when the job is stopped."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Progress:
    """How many images of the present step are done; before the first step there are none.

    Attributes:
        step: what is done with the images, e.g. "evaluating".
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
        """Begin the next step."""
        self.step, self.done, self.total = step, 0, total

    def __str__(self) -> str:
        return f"{self.step} {self.done} of {self.total} images"
