"""What ids mean: spec files, the checked specs read from them, and their lookup tensors."""

from pps_torch.specs.dataset_spec import DatasetSpec
from pps_torch.specs.eval_spec import EvalSpec
from pps_torch.specs.fields import SpecError
from pps_torch.specs.lookups import DatasetLookups, PartLookups, dataset_lookups, part_lookups

__all__ = [
    "DatasetLookups",
    "DatasetSpec",
    "EvalSpec",
    "PartLookups",
    "SpecError",
    "dataset_lookups",
    "part_lookups",
]
