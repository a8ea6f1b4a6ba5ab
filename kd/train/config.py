"""How to train a network."""

from dataclasses import dataclass

import torch

from kd.data.loader import Workers


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training; see the sections `train` of `params.yaml`."""

    epochs: int
    batch: int = 16
    optimizer: str = "adamw"
    lr: float = 2e-3
    backbone_lr: float = 1.0
    freeze_epochs: int = 0
    weight_decay: float = 0.05
    warmup_epochs: float = 2.0
    ema_decay: float = 0.998
    clip_norm: float = 10.0
    accumulate: int = 1
    evaluate_every: int = 5
    patience: int = 0
    keep_epoch: str = "last"
    precision: str = "auto"
    workers: Workers = 0
    cache: bool = True
    sync_batch_norm: bool = False
    compile: bool = False
    deterministic: bool = True

    def autocast_dtype(self, device: torch.device) -> torch.dtype | None:
        """The type that autocast computes in, or None for float32.

        "auto" is bfloat16 if the hardware multiplies in it, else float16 on a GPU and float32 on a CPU.
        """
        precision = self.precision
        if precision == "auto":
            on_gpu = device.type == "cuda"
            native = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else torch.cpu._is_avx512_bf16_supported()
            precision = "bf16" if native else "fp16" if on_gpu else "fp32"
        return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}[precision]
