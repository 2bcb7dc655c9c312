"""Pictures of maps: colours, overlays, legends."""

from pps_torch.visualization.colorize import colorize_panoptic, colorize_pps
from pps_torch.visualization.ground_truth import ground_truth_pps
from pps_torch.visualization.legend import (
    LegendEntry,
    legend,
    panoptic_legend_entries,
    pps_legend_entries,
    with_legend,
)
from pps_torch.visualization.overlay import overlay

__all__ = [
    "LegendEntry",
    "colorize_panoptic",
    "colorize_pps",
    "ground_truth_pps",
    "legend",
    "overlay",
    "panoptic_legend_entries",
    "pps_legend_entries",
    "with_legend",
]
