"""Which files here are no tests: helpers that import Detectron2, which may be missing."""

collect_ignore = ["coco_set.py", "models.py"]
