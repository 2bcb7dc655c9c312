"""Drawn streets: a photo, its part-aware panoptic ground truth, and imperfect predictions.

The demo, the training data `pps_synthetic_train` and `pps_synthetic_val` of Detectron2, and the
tests take them from here: in tensors (`make_street`, `predict_imperfectly`) or as the files of a
data set (`street_files`).
"""

from pps_torch.synthetic.predictions import (
    Detection,
    StreetPrediction,
    predict_imperfectly,
)
from pps_torch.synthetic.street import StreetScene, make_street

__all__ = ["Detection", "StreetPrediction", "StreetScene", "make_street", "predict_imperfectly"]
