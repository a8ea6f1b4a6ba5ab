"""The step `compute_info_maps`: how important each position of the teacher's features is."""

from pathlib import Path

from components.params.models import Params
from components.runtime.tracking import Run
from kd.data.dataset import DetectionData, find_unlabelled
from kd.distillation.compute_maps import write_info_maps
from kd.files import digest, read_json
from kd.model.distributed import init_distributed
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
    model, section = teacher / "model.safetensors", params.info_maps
    with init_distributed() as processes:
        with processes.together():
            network, spec = load_model(model)
            summary = read_json(data / "summary.json")
            metadata = {"data": summary["digest"], "teacher": digest(model), "strides": list(network.strides)}
            pictures, unlabelled = DetectionData(data / "train", spec.image_size), find_unlabelled(data, spec.image_size)
        run.log_dataset("prepared", str(data), summary["digest"], "training")
        network.to(processes.device)
        write_info_maps(network, spec, pictures, section.method, section.batch, output, metadata, unlabelled, section.workers, processes)
    if processes.is_main:
        megabytes = sum(file.stat().st_size for file in output.iterdir()) / 1e6
        run.log_metrics({"pictures": len(pictures) + len(unlabelled or ()), "megabytes": megabytes})
