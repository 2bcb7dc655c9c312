"""An evaluation as something to look at: tables of its segments, and one HTML file."""

from pps_torch.pipelines.report.report import report
from pps_torch.pipelines.report.tables import Tables

__all__ = ["Tables", "report"]
