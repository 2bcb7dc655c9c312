"""Data sets with part labels in Detectron2: catalogues, files, and the inputs of its models.

Start at `datasets`, which registers the data sets; `dataset_files` lists their images and
`metadata` describes their classes. `dataset_mapper` reads an image and makes of it what a model
takes; `training_targets` is its step from uids to targets.
"""
