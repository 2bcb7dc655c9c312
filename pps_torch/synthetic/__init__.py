"""A synthetic street: a photo, its part-aware panoptic ground truth, and imperfect predictions."""

from pps_torch.synthetic.predictions import (
    Detection,
    StreetPrediction,
    predict_imperfectly,
)
from pps_torch.synthetic.street import StreetScene, make_street

__all__ = ["Detection", "StreetPrediction", "StreetScene", "make_street", "predict_imperfectly"]
