"""What ids mean: spec files and the checked specs read from them; `lookups` makes tensors."""

from pps_torch.specs.dataset_spec import DatasetSpec
from pps_torch.specs.eval_spec import EvalSpec, check_eval_spec
from pps_torch.specs.fields import SpecError

__all__ = [
    "DatasetSpec",
    "EvalSpec",
    "SpecError",
    "check_eval_spec",
]
