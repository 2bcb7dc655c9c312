"""Where the tables of the evaluators are seen: where Detectron2's own messages are."""

from __future__ import annotations

import logging

from detectron2.utils import comm
from detectron2.utils.logger import setup_logger


def show_log() -> None:
    """Show the messages of `pps_torch`, unless logging is set up for them.

    They go to the handlers of Detectron2's logger, `log.txt` among them, or to standard output if
    it has none. Detectron2's `setup_logger` is called for `detectron2` and `fvcore` only, and
    logging shows nothing but warnings of all others.
    """
    logger = logging.getLogger("pps_torch")
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    if logger.hasHandlers():
        return
    for handler in logging.getLogger("detectron2").handlers:
        logger.addHandler(handler)
    if not logger.handlers:
        rank = comm.get_rank()
        setup_logger(name="pps_torch", distributed_rank=rank, enable_propagation=True)
