"""Jobs from files to files, one function for each command of `pps-torch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pps_torch.lazy_names import lazy_names

if TYPE_CHECKING:
    from pps_torch.pipelines.data_preparation import prepare_data
    from pps_torch.pipelines.demonstration import demo
    from pps_torch.pipelines.evaluation_tables import Tables
    from pps_torch.pipelines.html_report.report import report
    from pps_torch.pipelines.map_drawing import visualize
    from pps_torch.pipelines.panoptic_merging import merge_to_panoptic
    from pps_torch.pipelines.partpq_evaluation import eval_partpq
    from pps_torch.pipelines.pps_merging import merge_to_pps
    from pps_torch.pipelines.pq_evaluation import eval_pq
    from pps_torch.pipelines.program_export import export
    from pps_torch.pipelines.running.options import RunOptions
    from pps_torch.pipelines.spec_making import new_spec

__all__ = [
    "RunOptions",
    "Tables",
    "demo",
    "eval_partpq",
    "eval_pq",
    "export",
    "merge_to_panoptic",
    "merge_to_pps",
    "new_spec",
    "prepare_data",
    "report",
    "visualize",
]

_MODULES = {
    "RunOptions": "running.options",
    "Tables": "evaluation_tables",
    "demo": "demonstration",
    "eval_partpq": "partpq_evaluation",
    "eval_pq": "pq_evaluation",
    "export": "program_export",
    "merge_to_panoptic": "panoptic_merging",
    "merge_to_pps": "pps_merging",
    "new_spec": "spec_making",
    "prepare_data": "data_preparation",
    "report": "html_report.report",
    "visualize": "map_drawing",
}

# A command loads what it needs, no more.
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
