"""The type that a training computes in."""

import pytest
import torch

from kd.train.config import TrainConfig

CPU = torch.device("cpu")


@pytest.mark.parametrize(("precision", "expected"), [("fp32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_the_precision_can_be_chosen(precision: str, expected: torch.dtype | None) -> None:
    assert TrainConfig(1, precision=precision).autocast_dtype(CPU) == expected


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_if_the_machine_multiplies_in_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert TrainConfig(1, precision="auto").autocast_dtype(CPU) == (torch.bfloat16 if native else None)


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_float16_on_a_gpu_that_does_not(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    assert TrainConfig(1, precision="auto").autocast_dtype(torch.device("cuda")) == (torch.bfloat16 if native else torch.float16)
