"""Detectron2's training loop with the data, models and evaluators of the other rooms.

Start at `trainer`, which puts everything together as a configuration says. `eval_hook` evaluates
during training: on the images of `evaluation_subset`, and without a change to `module_modes`.
"""
