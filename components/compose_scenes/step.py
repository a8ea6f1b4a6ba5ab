"""The step `compose_scenes`: the embedded default dataset."""

from pathlib import Path

import numpy as np

from components.compose_scenes.scenes import CLASSES, PHOTOGRAPHS, compose_scene, load_sources
from components.params.models import Params
from components.runtime.tracking import Run
from components.shared.boxes import LabeledPicture
from components.shared.coco_format import write_coco
from kd.files import write_json
from kd.progress import track

JPEG_QUALITY = 92


def compose_scenes(params: Params, run: Run, output: Path = Path("outputs/compose_scenes")) -> None:
    """Compose the embedded dataset: handwritten digits on photographs, in COCO layout.

    Args:
        params: parameters; the step reads the section `compose_scenes`.
        run: records the numbers of scenes and digits.
        output: folder for {train,test}/images/*.jpg, {train,test}/annotations.json, and .compose_scenes.json with the parameters,
            which shows that the folder is not a dataset of the user.
    """
    scenes = params.compose_scenes
    write_json(output / ".compose_scenes.json", scenes.model_dump(mode="json"))
    for split, count in (("train", scenes.train), ("test", scenes.test)):
        sources = load_sources(split)
        images = output / split / "images"
        images.mkdir(parents=True)
        pictures = []
        for index in track(range(count), f"compose {split} scenes", count):
            rng = np.random.default_rng([scenes.seed, PHOTOGRAPHS[split], index])
            scene, boxes = compose_scene(rng, sources, scenes.size, scenes.objects)
            path = images / f"{index:05}.jpg"
            scene.save(path, "JPEG", quality=JPEG_QUALITY)
            pictures.append((path.name, LabeledPicture(path, *scene.size, boxes, output / split)))
        write_coco(output / split / "annotations.json", CLASSES, pictures)
        run.log_metrics({f"{split}_pictures": count, f"{split}_boxes": sum(len(picture.boxes) for _, picture in pictures)})
