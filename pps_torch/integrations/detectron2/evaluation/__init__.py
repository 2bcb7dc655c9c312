"""Evaluators for Detectron2: PQ, and PartPQ of models with parts.

Start at `panoptic_quality_evaluator` or `part_panoptic_evaluator`; what they share is in
`image_by_image`. They read a model's output with `panoptic_outputs` and the ground truth with
`read_ahead`, count each image once with `image_counts`, keep what tables need in `recorded_images`,
warn about `unknown_parts`, and report as `part_scores` says, to the
log that `evaluation_log` shows.
"""
