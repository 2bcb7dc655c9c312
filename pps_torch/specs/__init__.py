"""What ids mean: spec files, the checked specs read from them, and the specs' lookup tensors."""

from pps_torch.specs.dataset_spec import DatasetSpec
from pps_torch.specs.eval_spec import EvalSpec, check_eval_spec
from pps_torch.specs.fields import SpecError
from pps_torch.specs.lookups import DatasetLookups, PartLookups, dataset_lookups, part_lookups

__all__ = [
    "DatasetLookups",
    "DatasetSpec",
    "EvalSpec",
    "PartLookups",
    "SpecError",
    "check_eval_spec",
    "dataset_lookups",
    "part_lookups",
]
