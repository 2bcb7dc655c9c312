"""Runs panoptic_parts and panopticapi for tools/benchmark.py, in an interpreter that has them.

panoptic_parts refuses Python 3.10 and newer by a comparison of version strings; it is told that
this is Python 3.9. Its merge_to_pps needs NumPy < 2. Nothing else about the references is changed.
"""

import json
import platform
import runpy
import sys
import time

import numpy as np

platform.python_version = lambda: "3.9.0"


def run(module, *arguments):
    """A whole command: `python -m module arguments`."""
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


def partpq(eval_spec, gt_file, pred_file):
    """PartPQ of one image on one core, decoding included."""
    from panoptic_parts.evaluation.eval_PartPQ import pred_reader_fn

    evaluate_partpq(eval_spec, [(gt_file, pred_file)], pred_reader_fn)


def partpq_of_maps(eval_spec, maps_file):
    """PartPQ of a batch of maps in memory, on one core."""
    from panoptic_parts.utils import evaluation_PartPQ

    content = np.load(maps_file)
    gt_uids, pps = content["gt_uids"], content["pps"].astype(np.int32)

    class MapsInMemory:
        """Stands for PIL.Image: decoding is left out."""

        @staticmethod
        def open(number):
            return gt_uids[number]

    evaluation_PartPQ.Image = MapsInMemory
    pairs = [(number, number) for number in range(len(pps))]
    evaluate_partpq(eval_spec, pairs, lambda number: tuple(pps[number]))


def evaluate_partpq(eval_spec, pairs, read_prediction):
    """Time panoptic_parts' own evaluation of pairs of images, and print it with the counts."""
    from panoptic_parts.specs.eval_spec import PartPQEvalSpec
    from panoptic_parts.utils import evaluation_PartPQ

    class AtLeastFive(list):
        """Says that it has five images or more: with fewer, the reference divides by zero."""

        def __len__(self):
            return max(super().__len__(), 5)

    evaluation_PartPQ.print = lambda *_: None
    spec = PartPQEvalSpec(eval_spec)
    begin = time.perf_counter()
    stat = evaluation_PartPQ.evaluate_single_core(0, AtLeastFive(pairs), read_prediction, spec)
    seconds = time.perf_counter() - begin
    counts = {
        sid: [stat[i].iou, stat[i].tp, stat[i].fp, stat[i].fn]
        for i, sid in enumerate(spec.eval_sid_total)
    }
    print(json.dumps({"seconds": [seconds], "counts": counts}))


def pq(maps_file, annotations_file, rounds):
    """PQ of a pair of RGB maps in memory, on one core."""
    from panopticapi import evaluation

    maps = np.load(maps_file)
    with open(annotations_file) as file:
        annotations = json.load(file)

    class MapsInMemory:
        """Stands for PIL.Image: decoding is left out."""

        @staticmethod
        def open(path):
            return maps["gt"] if "gt" in path else maps["pred"]

    evaluation.Image = MapsInMemory
    evaluation.print = lambda *_: None
    categories = {category["id"]: category for category in annotations["categories"]}
    seconds = []
    for _ in range(int(rounds)):
        pair = json.loads(json.dumps((annotations["gt"], annotations["pred"])))
        begin = time.perf_counter()
        stat = evaluation.pq_compute_single_core(0, [pair], "gt", "pred", categories)
        seconds.append(time.perf_counter() - begin)
    counts = {i: [stat[i].iou, stat[i].tp, stat[i].fp, stat[i].fn] for i in categories}
    print(json.dumps({"seconds": seconds, "counts": counts}))


if __name__ == "__main__":
    task, *task_arguments = sys.argv[1:]
    tasks = {"run": run, "partpq": partpq, "partpq_of_maps": partpq_of_maps, "pq": pq}
    tasks[task](*task_arguments)
