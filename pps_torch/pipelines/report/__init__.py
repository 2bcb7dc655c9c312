"""An evaluation as something to look at: tables of its segments, and one HTML file."""

from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.report.report import report

__all__ = ["Tables", "report"]
