"""PartPQ over two processes is PartPQ over one.

    python docs/examples/two_processes.py

Each process counts its own half of the images; one addition over all processes then makes the
total. The sums are integers, so the numbers are equal to the last bit however images are shared.
In a job of torchrun the processes are there already: `evaluate` is all that is needed.
"""

import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from pps_torch import EvalSpec, PartPanopticQuality, merge_panoptic, merge_pps
from pps_torch.pipelines.running.processes import leave_group
from pps_torch.synthetic import make_street, predict_imperfectly

NUM_IMAGES = 4
SIZE = (128, 256)


def predict(street, spec, seed):
    """A PPS map `(3, H, W)`, as three networks and the merges would give it."""
    prediction = predict_imperfectly(street, spec, seed)
    detections = prediction.detections
    panoptic = merge_panoptic(
        prediction.semantic,
        torch.stack([detection.mask for detection in detections]),
        torch.tensor([detection.score for detection in detections]),
        torch.tensor([detection.category_id for detection in detections]),
        stuff_ids=spec.stuff,
        stuff_area_limit=64,  # the pictures are small
    )
    return merge_pps(panoptic, prediction.part_seg, spec)


def evaluate(images):
    """Counts some images, then adds up the counts of all processes, if there are several."""
    spec = EvalSpec.load("cpp_default")
    metric = PartPanopticQuality(spec)
    for seed in images:
        street = make_street(SIZE, seed)
        metric.update(predict(street, spec, seed), street.uids)
    return metric.synced().compute()


def run(rank, num_processes, rendezvous):
    """Runs one of the processes."""
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=num_processes
    )
    result = evaluate(range(rank, NUM_IMAGES, num_processes))  # every process has the total
    leave_group()  # destroy_process_group of torch before 2.8 may wait for ever
    if rank == 0:
        alone = evaluate(range(NUM_IMAGES))
        print("two processes:", result.value)
        print("one process:  ", alone.value)
        if result.as_dict() != alone.as_dict():
            raise SystemExit("expected equal numbers")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(run, args=(2, f"{folder}/rendezvous"), nprocs=2)
