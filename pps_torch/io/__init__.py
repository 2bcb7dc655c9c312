"""Files: id maps, JSON, RLE and COCO panoptic; pairing by image id; threads; resumed output."""
