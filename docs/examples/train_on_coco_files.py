"""PQ after each epoch of a training loop, on COCO panoptic files.

    python docs/examples/train_on_coco_files.py

A small network learns what Panoptic-DeepLab's learns: for each pixel its class, how close it is
to the centre of its instance, and where that centre lies. The data set is two drawn streets in
the format of COCO; a path of your own takes their place in `train`.
"""

import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from pps_torch import EvalSpec, PanopticQuality, PanopticTarget, merge_panoptic_centers
from pps_torch.io import PHOTO_SUFFIXES, PanopticFile, find_files, read_photo, read_rgb_ids
from pps_torch.synthetic.street_files import StreetFolders, write_streets


class CocoPanoptic(Dataset):
    """Photos and ground truths of a COCO panoptic file; categories become indices 0, 1, ..."""

    def __init__(self, gt_json, photo_folder):
        file = PanopticFile.load(gt_json)
        self.annotations = list(file.annotations.values())
        self.photos = find_files(photo_folder, file.annotations, PHOTO_SUFFIXES, "photo")
        self.index_of = {category["id"]: i for i, category in enumerate(file.categories)}
        self.categories = [{**c, "id": self.index_of[c["id"]]} for c in file.categories]

    def __len__(self):
        return len(self.annotations)

    def __getitem__(self, index):
        annotation = self.annotations[index]
        ids = torch.from_numpy(read_rgb_ids(annotation.png))
        segments_info = [
            {**info, "category_id": self.index_of[info["category_id"]]}
            for info in annotation.segments_info
        ]
        photo = read_photo(self.photos[annotation.image_id], tuple(ids.shape))
        # Targets of one capacity have tables of one length, so the loader can stack them.
        target = PanopticTarget.from_segments(ids, segments_info, capacity=100)
        return torch.from_numpy(photo) / 255, target


class Network(nn.Module):
    """Three heads: class logits, closeness to the centre of the instance, offset to it."""

    def __init__(self, num_classes):
        super().__init__()
        self.sizes = (num_classes, 1, 2)
        layers = [nn.Conv2d(5, 32, 3, stride=2, padding=1), nn.ReLU()]
        for stride, dilation in ((2, 1), (1, 1), (1, 2), (1, 4)):
            layers += [nn.Conv2d(32, 32, 3, stride, dilation, dilation), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(32, sum(self.sizes), 1))

    def forward(self, photos):
        """Predicts at the size of the photos `(B, 3, H, W)`, which are 0..1."""
        height, width = photos.shape[-2:]
        place = photos.new_zeros(len(photos), 2, height, width)  # where a pixel lies, -1..1
        place[:, 0] = torch.linspace(-1, 1, height)[:, None]
        place[:, 1] = torch.linspace(-1, 1, width)
        outputs = self.layers(torch.cat([photos, place], 1))
        outputs = F.interpolate(outputs, (height, width), mode="bilinear", align_corners=False)
        class_logits, closeness, offsets = outputs.split(self.sizes, 1)
        return class_logits, closeness.sigmoid(), 10 * offsets


def training_maps(target, is_thing):
    """What the heads should say: class index (-1 for void), closeness, offset; the instances."""
    size = target.panoptic_seg.shape[-2:]
    segment = target.panoptic_seg.long().flatten(1)  # (B, P), 0 is void
    classes = F.pad(target.category_ids, (1, 0), value=-1)  # (B, S + 1), by segment id
    masks = F.one_hot(segment, classes.shape[1]).float()  # (B, P, S + 1)
    grid = torch.meshgrid(*(torch.arange(n, device=segment.device) for n in size), indexing="ij")
    places = torch.stack(grid).flatten(1).float()  # (2, P), rows and columns
    centers = places @ masks / masks.sum(1, keepdim=True).clamp(min=1)  # (B, 2, S + 1)

    offset = centers.gather(2, segment[:, None].expand(-1, 2, -1)) - places
    class_index = classes.gather(1, segment)
    is_instance = is_thing[classes] & (classes >= 0) & ~F.pad(target.is_crowd, (1, 0))
    on_thing = is_instance.gather(1, segment)
    closeness = torch.exp(-offset.square().sum(1) / 50) * on_thing
    return [maps.unflatten(-1, size) for maps in (class_index, closeness, offset, on_thing)]


def loss_of(outputs, target, is_thing):
    """Cross entropy, and squared and absolute differences."""
    class_logits, closeness, offsets = outputs
    classes, true_closeness, true_offsets, on_thing = training_maps(target, is_thing)
    offset_error = (offsets - true_offsets).abs().sum(1)[on_thing].mean()
    return (
        F.cross_entropy(class_logits, classes, ignore_index=-1)
        + 20 * F.mse_loss(closeness[:, 0], true_closeness)
        + 0.01 * offset_error
    )


def train(gt_json, photo_folder, num_epochs=5, steps_an_epoch=40):
    """Trains on all images, and prints PQ after each epoch."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    dataset = CocoPanoptic(gt_json, photo_folder)
    loader = DataLoader(dataset, batch_size=2)
    thing_ids = [c["id"] for c in dataset.categories if c["isthing"]]
    is_thing = torch.tensor([bool(c["isthing"]) for c in dataset.categories], device=device)
    network = Network(len(dataset.categories)).to(device)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    metric = PanopticQuality(dataset.categories).to(device)

    for epoch in range(num_epochs):
        network.train()
        for _ in range(steps_an_epoch // len(loader)):
            for photos, target in loader:
                target = PanopticTarget(*(field.to(device) for field in target))
                loss = loss_of(network(photos.to(device)), target, is_thing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        network.eval()
        metric.reset()
        with torch.no_grad():
            for photos, target in loader:
                target = PanopticTarget(*(field.to(device) for field in target))
                # A hundred pixels are much in a small picture; COCO's limit is 4096.
                prediction = merge_panoptic_centers(
                    *network(photos.to(device)), thing_ids=thing_ids, stuff_area_limit=100
                )
                metric.update(prediction, target)  # waits for nothing on a GPU
        result = metric.compute()
        print(f"epoch {epoch}: loss {loss.item():.2f}, PQ {result.value:.3f}")
    print(result)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        streets = StreetFolders(Path(folder))
        write_streets(streets, EvalSpec.load("cpp_default"), (64, 128), num_streets=2)
        train(streets.gt_panoptic_json, streets.photos)
