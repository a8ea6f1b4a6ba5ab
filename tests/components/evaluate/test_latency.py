"""The latency: how it is measured, and what it includes."""

import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from components.evaluate import latency
from components.evaluate.latency import WARM_UP, latencies
from kd.data.dataset import DetectionData
from tests.components.random_networks import SIDE, random_network
from tests.components.trained import write_outputs


@pytest.fixture
def test_split(tmp_path: Path) -> DetectionData:
    return DetectionData(write_outputs(tmp_path)["data"] / "test", SIDE)


def test_models_alternate_and_get_one_picture_at_a_time(test_split: DetectionData) -> None:
    seen: list[tuple[str, torch.Size]] = []
    models = {name: random_network(seed=seed) for seed, name in enumerate(("a", "b"))}
    for name, (network, _) in models.items():
        network.register_forward_pre_hook(lambda module, inputs, name=name: seen.append((name, inputs[0].shape)))
    times = latencies(models, test_split, rounds=4)
    assert [name for name, _ in seen] == [name for index in range(WARM_UP + 4) for name in ("ba" if index % 2 else "ab")]
    assert {shape for _, shape in seen} == {(1, 3, SIDE, SIDE)}
    assert set(times) == {"a", "b"} and all(0 < value < 10_000 for value in times.values())


def test_the_latency_is_the_10th_percentile_of_the_rounds_after_the_warm_up(
    test_split: DetectionData, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = iter([9.0] * WARM_UP + [0.002, 5.0, 0.002, 0.003, 0.002])
    clock = (moment for start in count(0, 100) for moment in (start, start + next(spans)))
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert latencies({"a": random_network()}, test_split, rounds=5) == {"a": pytest.approx(2.0, abs=1e-6)}


def test_decoding_and_suppression_are_part_of_the_latency(test_split: DetectionData, monkeypatch: pytest.MonkeyPatch) -> None:
    network, spec = random_network()
    quick = latencies({"a": (network, spec)}, test_split, rounds=3)["a"]
    postprocess = latency.postprocess
    monkeypatch.setattr(latency, "postprocess", lambda *inputs: (time.sleep(0.2), postprocess(*inputs))[1])
    assert latencies({"a": (network, spec)}, test_split, rounds=3)["a"] > max(quick, 200)
    assert isinstance(network, nn.Module) and not network.training
