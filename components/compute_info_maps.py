"""The step `compute_info_maps`."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from components.params import Params
from components.step import command
from kd.data.dataset import DetectionData
from kd.distillation.mapping import draw_maps
from kd.files import digest, read_json
from kd.model.store import load_model

if TYPE_CHECKING:
    from components.tracking import Run


def compute_info_maps(
    params: Params,
    run: "Run",
    data: Path = Path("outputs/prepare_data"),
    teacher: Path = Path("outputs/train_teacher"),
    output: Path = Path("outputs/compute_info_maps"),
) -> None:
    """Measure how important each place of the teacher's features is, on every training picture.

    Reads the section `info_maps`. Writes per tap `<part>_<stride>.npy` (float16 [pictures, S / stride, S / stride], in the
    order of train/annotations.json), the channels' statistics, and index.json. Memory does not grow with the pictures.
    """
    weights = teacher / "model.safetensors"
    network, spec = load_model(weights)
    summary = read_json(data / "summary.json")
    run.dataset("prepared", str(data), summary["digest"], "training")
    about = {"data": summary["digest"], "teacher": digest(weights), "strides": list(network.strides)}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures = DetectionData(data / "train", spec.image_size)
    draw_maps(network.to(device), spec, pictures, params.info_maps.reading, params.info_maps.batch, output, about)
    run.metrics({"pictures": len(pictures), "megabytes": sum(f.stat().st_size for f in output.iterdir()) / 1e6})


if __name__ == "__main__":
    command(compute_info_maps)
