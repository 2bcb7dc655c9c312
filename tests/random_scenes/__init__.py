"""Random scenes through the metrics and mergers, against the slow rules of `tests/oracles`."""
