"""Jobs from files to files, one function for each command of `pps-torch`."""

from pps_torch.pipelines.data_preparation import prepare_data
from pps_torch.pipelines.demonstration import demo
from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.html_report.report import report
from pps_torch.pipelines.map_drawing import visualize
from pps_torch.pipelines.panoptic_merging import merge_to_panoptic
from pps_torch.pipelines.partpq_evaluation import eval_partpq
from pps_torch.pipelines.pps_merging import merge_to_pps
from pps_torch.pipelines.pq_evaluation import eval_pq
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.pipelines.spec_making import new_spec

__all__ = [
    "RunOptions",
    "Tables",
    "demo",
    "eval_partpq",
    "eval_pq",
    "merge_to_panoptic",
    "merge_to_pps",
    "new_spec",
    "prepare_data",
    "report",
    "visualize",
]
