"""Part-aware models for Detectron2, and the merge of their heads into panoptic and PPS outputs.

Start at `fused_merge`, which turns the heads of one image into its outputs. The models are
`part_aware_panoptic_fpn`, one network for all outputs; `part_segmentor`, a network for parts alone;
and `part_aware_baseline`, which joins trained models. `part_head` is the head of the first two.
`output_size`, `segments_info` and `contiguous_pps_merger` are steps of the merge.
"""
