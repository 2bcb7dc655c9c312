"""Adapters for other libraries, each optional: importing one needs its library.

`detectron2`, `huggingface` (transformers), `mmdetection`, `torchmetrics` and `torchvision`; nothing
else in the package needs these libraries.
"""
