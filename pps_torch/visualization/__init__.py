"""Pictures of maps: colours, overlays, legends."""

from pps_torch.visualization.colorblind import simulate_deficiency
from pps_torch.visualization.colorize import colorize_panoptic, colorize_pps
from pps_torch.visualization.colors import PALETTES
from pps_torch.visualization.error_map import (
    PixelError,
    colorize_errors,
    error_legend_entries,
    error_map,
)
from pps_torch.visualization.ground_truth import ground_truth_pps
from pps_torch.visualization.legend import (
    VOID_ENTRY,
    LegendEntry,
    legend,
    panoptic_legend_entries,
    pps_legend_entries,
    with_legend,
)
from pps_torch.visualization.overlay import overlay

__all__ = [
    "PALETTES",
    "PixelError",
    "VOID_ENTRY",
    "LegendEntry",
    "colorize_errors",
    "colorize_panoptic",
    "colorize_pps",
    "error_legend_entries",
    "error_map",
    "ground_truth_pps",
    "legend",
    "overlay",
    "panoptic_legend_entries",
    "pps_legend_entries",
    "simulate_deficiency",
    "with_legend",
]
