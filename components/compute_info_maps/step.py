"""The step `compute_info_maps`: how important each position of the teacher's features is."""

from pathlib import Path

import torch

from components.params.models import Params
from components.runtime.tracking import Run
from kd.data.dataset import DetectionData, find_unlabelled
from kd.distillation.compute_maps import write_info_maps
from kd.files import digest, read_json
from kd.model.store import load_model


def compute_info_maps(
    params: Params,
    run: Run,
    data: Path = Path("outputs/prepare_data"),
    teacher: Path = Path("outputs/train_teacher"),
    output: Path = Path("outputs/compute_info_maps"),
) -> None:
    """Compute the information maps of all training pictures: how important each position of the teacher's features is.

    The pictures without labels, if there are any, get maps from the same teacher.

    Reads the section `info_maps`. Writes `<part>_<stride>.npy` for each tap (float16 [pictures, S / stride, S / stride], in the
    order of train/annotations.json, then of unlabelled/annotations.json), or `stride_<stride>.npy` where backbone and neck have the same
    maps; the channel statistics, and index.json, which names the file of each tap. Memory does not grow with the number of pictures.
    """
    model = teacher / "model.safetensors"
    network, spec = load_model(model)
    summary = read_json(data / "summary.json")
    run.log_dataset("prepared", str(data), summary["digest"], "training")
    metadata = {"data": summary["digest"], "teacher": digest(model), "strides": list(network.strides)}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures, unlabelled = DetectionData(data / "train", spec.image_size), find_unlabelled(data, spec.image_size)
    section = params.info_maps
    network.to(device)
    write_info_maps(network, spec, pictures, section.method, section.batch, output, metadata, unlabelled, section.workers)
    run.log_metrics({"pictures": len(pictures) + len(unlabelled or ()), "megabytes": sum(f.stat().st_size for f in output.iterdir()) / 1e6})
