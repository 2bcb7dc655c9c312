"""torchmetrics: the plain metrics' numbers in a collection, in two processes, in Lightning."""

from __future__ import annotations

import doctest
import json
import pickle

import numpy as np
import pytest
import torch

from pps_torch import (
    BoundaryPanopticQuality,
    EvalSpec,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartIoU,
    PartPanopticQuality,
)
from pps_torch.ops import backend as backends
from tests.factories import CATEGORIES, panoptic_pair, pps_pair
from tests.integrations.lightning_run import images as lightning_images
from tests.integrations.lightning_run import lightning_library
from tests.processes import in_processes, run_python

SPEC = EvalSpec.load("cpp_default")
SUMS = ("class_sums", "faults")


@pytest.fixture(scope="module", autouse=True)
def torchmetrics():
    """The library, whose import takes seconds: when a test needs it, not when it is collected."""
    return pytest.importorskip("torchmetrics")


def panoptic_images(count: int = 5) -> list[tuple]:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        pred_ids, pred_segments, gt_ids, gt_segments = panoptic_pair(rng, (20, 12))
        present = set(np.unique(pred_ids).tolist())
        pred_segments = [s for s in pred_segments if s["id"] in present]
        images.append(
            (
                PanopticSegmentation.from_segments(torch.from_numpy(pred_ids), pred_segments),
                PanopticTarget.from_segments(torch.from_numpy(gt_ids), gt_segments),
            )
        )
    return images


def part_images(count: int = 5, spec: EvalSpec = SPEC) -> list[tuple]:
    rng = np.random.default_rng(1)
    return [tuple(map(torch.from_numpy, pps_pair(rng, (20, 12), spec))) for _ in range(count)]


def make_panoptic(**settings):
    from pps_torch.integrations.torchmetrics import PanopticQualityMetric

    return PanopticQualityMetric(CATEGORIES, **settings)


def make_part(spec: EvalSpec = SPEC, **settings):
    from pps_torch.integrations.torchmetrics import PartPanopticQualityMetric

    return PartPanopticQualityMetric(spec, **settings)


CASES = {
    "pq": (make_panoptic, lambda: PanopticQuality(CATEGORIES), panoptic_images),
    "part_pq": (make_part, lambda: PartPanopticQuality(SPEC), part_images),
}


def plain(values: dict) -> str:
    """The bits of a dict of scalars, nan as itself."""
    return json.dumps({name: value.item() for name, value in values.items()})


def same_sums(wrapped, metric) -> bool:
    return all(torch.equal(getattr(wrapped, name), getattr(metric, name)) for name in SUMS)


@pytest.fixture(params=CASES)
def case(request):
    make, make_plain, images = CASES[request.param]
    images = images()
    expected = make_plain()
    for image in images:
        expected.update(*image)
    return make, images, expected


def test_update_compute_and_reset_as_the_plain_metric(case):
    make, images, expected = case
    metric = make()
    for _ in range(2):
        for image in images:
            metric.update(*image)
        values = metric.compute()
        assert same_sums(metric, expected)
        assert metric.result.table() == expected.compute().table()
        assert all(value.dtype == torch.float64 and value.ndim == 0 for value in values.values())
        metric.reset()
    assert not metric.class_sums.any()


@pytest.mark.filterwarnings("ignore:The `compute` method")
def test_the_names_of_the_values():
    assert sorted(make_panoptic().compute()) == sorted(
        f"{name}{group}" for name in ("PQ", "SQ", "RQ", "n") for group in ("", "_things", "_stuff")
    )
    assert set(make_part().compute()) == set(PartPanopticQuality(SPEC).compute().summary)
    metric, (image, *_) = make_panoptic(), panoptic_images()
    metric.update(*image)
    values, groups = metric.compute(), metric.result.summary
    assert values["SQ_things"].item() == pytest.approx(groups["Things"]["SQ"], nan_ok=True)
    assert values["n_stuff"].item() == groups["Stuff"]["n"]


def test_forward_gives_the_batch_and_adds_it(case):
    make, images, expected = case
    metric = make()
    for image in images:
        alone = make()
        alone.update(*image)
        assert plain(metric(*image)) == plain(alone.compute())
    assert same_sums(metric, expected)


@pytest.mark.filterwarnings("ignore:The `compute` method")
def test_one_key_is_a_scalar(case):
    make, images, expected = case
    key = "PQ" if "PQ" in make().compute() else "PartPQ"
    metric = make(key=key)
    for image in images:
        metric.update(*image)
    assert metric.compute().item() == make_dict(expected)[key]
    with pytest.raises(ValueError, match="^key: expected one of .*, found 'AP'"):
        make(key="AP")


def make_dict(metric) -> dict:
    summary = metric.compute().summary
    return summary.get("All", summary)


def test_copies_and_saved_states(case):
    make, images, expected = case
    metric = make()
    for image in images[:2]:
        metric.update(*image)
    assert metric.state_dict() == {}, "as torchmetrics: only what persistent() asks for"
    metric.persistent(True)
    loaded = make()
    loaded.persistent(True)
    loaded.load_state_dict(metric.state_dict())
    for twin in (metric.clone(), pickle.loads(pickle.dumps(metric)), loaded):
        for image in images[2:]:
            twin.update(*image)
        assert same_sums(twin, expected)
    assert not same_sums(metric, expected), "a copy shares nothing with the original"


@pytest.mark.parametrize("other", [{"rules": "torchmetrics"}, {"categories": CATEGORIES[::-1]}])
def test_states_of_other_rules_or_classes_are_not_added_up(other):
    from pps_torch.integrations.torchmetrics import PanopticQualityMetric

    metric, others = make_panoptic(), PanopticQualityMetric(**{"categories": CATEGORIES, **other})
    for image in panoptic_images(2):
        metric.update(*image)
        others.update(*image)
    sums = metric.class_sums.clone()
    message = "expected the state of a metric with the same classes, rules and settings"
    if has_merge_state := hasattr(metric, "merge_state"):  # since torchmetrics 1.6
        with pytest.raises(ValueError, match=message):
            metric.merge_state(others)
    others.persistent(True)
    metric.persistent(True)
    with pytest.raises(RuntimeError, match=message):
        metric.load_state_dict(others.state_dict())
    both = [metric.metric_state, others.metric_state]
    gathered = iter([[state[name] for state in both] for name in both[0]])
    with pytest.raises(ValueError, match=message):  # as after a gather of two processes
        metric._sync_dist(lambda *_, **__: next(gathered))
    assert torch.equal(metric.class_sums, sums)
    if has_merge_state:
        metric.merge_state(metric.clone())
        assert torch.equal(metric.class_sums, 2 * sums)


def test_after_inference_mode_as_lightning_has_it(case):
    make, images, expected = case
    metric = make()
    with torch.inference_mode():
        metric.reset()
        metric.update(*images[0])
        metric(*images[1])
    for image in images[2:]:
        metric.update(*image)
    assert same_sums(metric, expected)


def test_both_in_one_collection_with_keywords(torchmetrics):
    collection = torchmetrics.MetricCollection({"pq": make_panoptic(), "part": make_part()})
    expected = {"pq": CASES["pq"][1](), "part": CASES["part_pq"][1]()}
    for (pred, target), (pps, gt_uids) in zip(panoptic_images(), part_images(), strict=True):
        collection.update(pred=pred, target=target, pps=pps, gt_uids=gt_uids)
        expected["pq"].update(pred, target)
        expected["part"].update(pps, gt_uids)
    values = collection.compute()
    # A collection puts the metric's name before values whose names are not unique, here "n".
    values = {name.removeprefix("pq_").removeprefix("part_"): v for name, v in values.items()}
    assert values["PQ"].item() == expected["pq"].compute().summary["All"]["PQ"]
    assert values["PartPQ"].item() == expected["part"].compute().summary["PartPQ"]


def test_a_collection_joins_metrics_of_the_same_rules_only(torchmetrics):
    """Metrics with equal states are updated once for all: the rules are part of the state."""
    specs = {name: EvalSpec.load(name) for name in ("ppp_default", "ppp_107")}
    collection = torchmetrics.MetricCollection(
        {name: make_part(spec, key="PartPQ") for name, spec in specs.items()}
        | {"again": make_part(specs["ppp_default"], key="PartSQ")}
    )
    # The first image is void: both specs count the same. The others tell them apart.
    void = (torch.zeros(3, 4, 4).long(), torch.zeros(4, 4).long())
    images = [void, *part_images(20, specs["ppp_107"])]
    expected = {name: PartPanopticQuality(spec) for name, spec in specs.items()}
    for image in images:
        collection.update(*image)
        for metric in expected.values():
            metric.update(*image)
    summaries = {name: metric.compute().summary for name, metric in expected.items()}
    assert summaries["ppp_default"]["PartPQ"] != summaries["ppp_107"]["PartPQ"]
    values = collection.compute()
    assert values["ppp_default"].item() == summaries["ppp_default"]["PartPQ"]
    assert values["ppp_107"].item() == summaries["ppp_107"]["PartPQ"]
    assert values["again"].item() == summaries["ppp_default"]["PartSQ"]
    groups = sorted(sorted(group) for group in collection.compute_groups.values())
    assert groups == [["again", "ppp_default"], ["ppp_107"]]


def test_a_collection_joins_metrics_that_raise_alike_only(torchmetrics):
    """The first image has no bad ids; after it, metrics with equal states would be one."""
    settings = {"wide": {}, "again": {}, "narrow": {"capacity": 1}, "strict": {"validate": True}}
    collection = torchmetrics.MetricCollection({n: make_part(**s) for n, s in settings.items()})
    collection.update(torch.zeros(3, 4, 4).long(), torch.zeros(4, 4).long())
    groups = sorted(sorted(group) for group in collection.compute_groups.values())
    assert groups == [["again", "wide"], ["narrow"], ["strict"]]
    second_car = torch.tensor([[26]]), torch.tensor([[2]]), torch.tensor([[2]])
    collection.update(torch.stack(second_car), torch.tensor([[26_002_02]]))
    assert collection["wide"].compute()["PartPQ"] == 1
    with pytest.raises(ValueError, match="above the capacity"):
        collection["narrow"].compute()


@pytest.mark.parametrize("rules", ["coco", "torchmetrics", "deeplab2"])
def test_the_rules_of_the_plain_metric(rules):
    metric, expected = make_panoptic(rules=rules), PanopticQuality(CATEGORIES, rules=rules)
    for copy in (metric, metric.clone(), pickle.loads(pickle.dumps(metric))):
        copy.reset()
        expected.reset()
        for image in panoptic_images():
            copy.update(*image)
            expected.update(*image)
        assert same_sums(copy, expected)
    assert not same_sums(metric, PanopticQuality(CATEGORIES)), "a test of nothing says nothing"
    with pytest.raises(ValueError, match="^rules: expected one of"):
        make_panoptic(rules="voc")


def bad_image(part: bool) -> tuple:
    """An image with ids that no rules cover."""
    if part:
        pps, gt_uids = part_images(1)[0]
        return pps, torch.full_like(gt_uids, 123)
    pred, target = panoptic_images(1)[0]
    return pred._replace(panoptic_seg=pred.panoptic_seg + 99), target


@pytest.mark.parametrize("make", [make_panoptic, make_part])
def test_bad_ids_are_raised_at_compute_or_at_once(make):
    image = bad_image(make is make_part)
    metric, strict = make(), make(validate=True)
    metric.update(*image)
    with pytest.raises(ValueError, match="PanopticQuality: the updates had .* pixels"):
        metric.compute()
    with pytest.raises(ValueError, match="PanopticQuality: the updates had .* pixels"):
        strict.update(*image)
    assert same_sums(strict, metric), "spoilt until reset, as the plain metric is"
    strict.reset()
    strict.update(*(panoptic_images if make is make_panoptic else part_images)(1)[0])
    assert strict.compute()


@pytest.mark.parametrize("make", [make_panoptic, make_part])
def test_the_backend_is_that_of_the_plain_metric(make, monkeypatch):
    monkeypatch.setattr(backends, "_IS_INTERPRETED", False)
    image = (panoptic_images if make is make_panoptic else part_images)(1)[0]
    make(backend="torch").update(*image)
    with pytest.raises(RuntimeError, match='^backend="triton" cannot run'):
        make(backend="triton").update(*image)
    with pytest.raises(ValueError, match="^backend: expected one of"):
        make(backend="numpy")


def shared(rank: int) -> dict[str, list[str]]:
    """The values in one of two processes: one saw no image; then each sees every second one."""
    found = {}
    for name, (make, _, images) in CASES.items():
        images, found[name] = images(), []
        for share in (images if rank == 0 else [], images[rank::2]):
            metric = make()
            for image in share:
                metric.update(*image)
            own = metric.class_sums.clone()
            found[name].append(plain(metric.compute()))
            assert torch.equal(metric.class_sums, own), "its own sums again after compute"
    return found


@pytest.mark.slow
def test_two_processes_have_the_bits_of_one():
    expected = {}
    for name, (make, _, images) in CASES.items():
        metric = make()
        for image in images():
            metric.update(*image)
        expected[name] = [plain(metric.compute())] * 2
    assert in_processes(2, shared) == [expected, expected]


@pytest.mark.slow
def test_two_processes_of_lightning_log_the_number_of_all_images():
    if lightning_library() is None:
        pytest.skip("needs lightning or pytorch_lightning")
    run = run_python("-m", "tests.integrations.lightning_run")
    assert run.returncode == 0, run.stderr
    metric = PartPanopticQuality(SPEC)
    for image in lightning_images():
        metric.update(*image)
    expected = metric.compute().value
    logged = json.loads(run.stdout.splitlines()[-1])
    assert logged["part_pq"] == pytest.approx(expected, abs=1e-6) and expected > 0


@pytest.mark.filterwarnings("ignore")
def test_logged_by_a_lightning_module(tmp_path):
    lightning = lightning_library()
    if lightning is None:
        pytest.skip("needs lightning or pytorch_lightning")
    images = part_images()

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.part_pq = make_part(key="PartPQ")
            self.everything = make_part()

        def training_step(self, batch, index):
            return self.layer(torch.ones(1, 1)).sum()

        def validation_step(self, batch, index):
            self.part_pq.update(*batch)
            self.everything.update(*batch)
            self.log("part_pq", self.part_pq)

        def on_validation_epoch_end(self):
            self.log_dict(self.everything.compute())
            self.everything.reset()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    loader = torch.utils.data.DataLoader(images, batch_size=None)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Model(), loader, loader)
    metric = PartPanopticQuality(SPEC)
    for image in images:
        metric.update(*image)
    expected = metric.compute().summary
    # Lightning keeps logged values in float32.
    assert trainer.callback_metrics["part_pq"].item() == pytest.approx(expected["PartPQ"], abs=1e-6)
    for name, value in expected.items():
        assert trainer.callback_metrics[name].item() == pytest.approx(value, abs=1e-6, nan_ok=True)


def test_the_example_in_the_docstring_runs():
    from pps_torch.integrations import torchmetrics as integration

    result = doctest.testmod(integration)
    assert result.attempted > 0 and result.failed == 0


RELATIVES = {
    "PanopticQualityMetric": (PanopticQuality, "PQ", "pq"),
    "ModifiedPanopticQualityMetric": (ModifiedPanopticQuality, "PQ_dagger", "pq_dagger"),
    "BoundaryPanopticQualityMetric": (BoundaryPanopticQuality, "BoundaryPQ", "boundary_pq"),
}


@pytest.mark.parametrize("name", RELATIVES)
def test_the_relatives_of_pq_give_the_numbers_of_the_plain_metrics(name):
    from pps_torch.integrations import torchmetrics as integration

    wrapper, (kind, key, quality) = getattr(integration, name), RELATIVES[name]
    plain_metric, images = kind(CATEGORIES), panoptic_images()
    metrics = [wrapper(CATEGORIES, **o) for o in ({}, {"key": key}, {"return_per_class": True})]
    for image in images:
        plain_metric.update(*image)
        for metric in metrics:
            metric.update(*image)
    result = plain_metric.compute()
    everything, one, by_class = (metric.compute() for metric in metrics)
    assert everything[key] == one == getattr(result.all, quality) > 0
    assert metrics[2].class_ids == tuple(result.classes)
    expected = [getattr(c, quality) for c in result.classes.values()]
    assert by_class.tolist() == pytest.approx(expected, abs=0, nan_ok=True)


def test_qualities_stand_in_the_axes_of_torchmetrics():
    metrics = [
        make_panoptic(return_sq_and_rq=True, return_per_class=per_class)
        for per_class in (False, True)
    ]
    for image in panoptic_images():
        for metric in metrics:
            metric.update(*image)
    together, by_class = (metric.compute() for metric in metrics)
    result = metrics[0].result
    assert together.tolist() == [result.all.pq, result.all.sq, result.all.rq]
    assert by_class.shape == (len(CATEGORIES), 3)
    with pytest.raises(ValueError, match="key: expected None with return_sq_and_rq or return_per"):
        make_panoptic(key="PQ", return_per_class=True)


def test_mean_iou_of_maps_and_of_each_class():
    from pps_torch.integrations.torchmetrics import MeanIoUMetric

    semantic = torch.tensor([[[7, 7, 1]]]), torch.tensor([[[7, 1, 1]]])
    categories = [{"id": 1, "name": "a", "isthing": 0}, {"id": 7, "name": "b", "isthing": 0}]
    assert MeanIoUMetric(categories, key="mIoU")(*semantic) == 0.5
    assert MeanIoUMetric(categories, return_per_class=True)(*semantic).tolist() == [0.5, 0.5]
    other = MeanIoUMetric(categories, ignore_label=3)
    assert not torch.equal(other.fingerprint, MeanIoUMetric(categories).fingerprint)


def test_part_iou_and_that_of_each_part_label():
    from pps_torch.integrations.torchmetrics import PartIoUMetric

    plain_metric, images = PartIoU(SPEC), part_images()
    settings = ({}, {"key": "PartIoU"}, {"return_per_class": True})
    metrics = [PartIoUMetric(SPEC, **each) for each in settings]
    for image in images:
        plain_metric.update(*image)
        for metric in metrics:
            metric.update(*image)
    result = plain_metric.compute()
    everything, one, by_part = (metric.compute() for metric in metrics)
    assert plain(everything) == json.dumps({name: float(v) for name, v in result.summary.items()})
    assert one == result.value > 0
    assert metrics[2].class_ids == tuple(result.part_labels) != SPEC.eval_sids
    expected = [label.iou for label in result.part_labels.values()]
    assert by_part.tolist() == pytest.approx(expected, abs=0, nan_ok=True)
    other = PartIoUMetric(EvalSpec.load("ppp_default"))
    assert not torch.equal(other.fingerprint, metrics[0].fingerprint)
    with pytest.raises(ValueError, match="^key: expected one of .*'PartIoU'.*, found 'PartPQ'"):
        PartIoUMetric(SPEC, key="PartPQ")


def test_part_iou_beside_pq_in_a_collection(torchmetrics):
    from pps_torch.integrations.torchmetrics import PartIoUMetric

    collection = torchmetrics.MetricCollection(
        {"pq": make_panoptic(key="PQ"), "parts": PartIoUMetric(SPEC, key="PartIoU")}
    )
    expected = PartIoU(SPEC)
    for (pred, target), (pps, gt_uids) in zip(panoptic_images(), part_images(), strict=True):
        collection.update(pred=pred, target=target, pps=pps, gt_uids=gt_uids)
        expected.update(pps, gt_uids)
    assert collection.compute()["parts"].item() == expected.compute().value


def test_a_collection_counts_once_for_all_that_count_alike(torchmetrics):
    metrics = torchmetrics.MetricCollection(
        {
            "PQ": make_panoptic(key="PQ"),
            "RQ_things": make_panoptic(key="RQ_things"),
            "classes": make_panoptic(return_per_class=True),
            "other rules": make_panoptic(key="PQ", rules="torchmetrics"),
        }
    )
    images = panoptic_images()
    metrics.update(*images[0])
    groups = sorted(sorted(group) for group in metrics.compute_groups.values())
    assert groups == [["PQ", "RQ_things", "classes"], ["other rules"]]
    for image in images[1:]:
        metrics.update(*image)
    alone = make_panoptic()
    for image in images:
        alone.update(*image)
    values = alone.compute()
    found = metrics.compute()
    assert found["PQ"] == values["PQ"] and found["RQ_things"] == values["RQ_things"]


def test_wrappers_of_torchmetrics_take_them(torchmetrics):
    names = [category["name"] for category in CATEGORIES]
    classwise = torchmetrics.wrappers.ClasswiseWrapper(
        make_panoptic(return_per_class=True), labels=names
    )
    tracker = torchmetrics.wrappers.MetricTracker(make_panoptic(key="PQ"))
    for image in panoptic_images(4)[1:]:
        classwise.update(*image)
        tracker.increment()
        tracker.update(*image)
    found = classwise.compute()
    assert list(found) == [f"panopticqualitymetric_{name}" for name in names]
    best, step = tracker.best_metric(return_step=True)
    assert best == max(tracker.compute_all()) and step in (0, 1, 2)


def test_a_bootstrapper_draws_images_of_a_batch(torchmetrics):
    """Maps as tensors, whose first axis it draws from; it does not know containers."""
    maps = [torch.stack(field) for field in zip(*part_images(6))]
    bootstrap = torchmetrics.wrappers.BootStrapper(
        make_part(key="PartPQ"), num_bootstraps=4, sampling_strategy="multinomial"
    )
    torch.manual_seed(0)
    bootstrap.update(*maps)
    values = bootstrap.compute()
    assert 0 < values["mean"] < 1 and values["std"] > 0


def test_results_are_plotted():
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    for metric in (make_panoptic(key="PQ"), make_panoptic(), make_panoptic(return_per_class=True)):
        metric.update(*panoptic_images(1)[0])
        figure, _ = metric.plot()
        assert figure.axes
