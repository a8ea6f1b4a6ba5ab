"""The parameters of `params.yaml` as strict pydantic models. `kdflow params` prints each with its value, range and meaning."""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from kd.files import digest_json

Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of `params.yaml`: frozen, typed, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def digest(self) -> str:
        """SHA-256 of the section's values, as hex."""
        return digest_json(self.model_dump(mode="json"))


class ComposeScenes(Section):
    """The embedded default data set."""

    train: Count = Field(description="scenes to train on")
    test: Count = Field(description="scenes to test on")
    size: Annotated[int, Field(ge=64, multiple_of=32)] = Field(description="side of a scene in pixels")
    objects: list[Count] = Field(description="least and most digits in a scene", min_length=2, max_length=2)
    seed: int = Field(description="seed of the composition")


class Data(Section):
    """Where the labelled pictures are and how they are prepared."""

    path: str = Field(description="folder with your pictures and labels, or the embedded data set")
    layout: Literal["auto", "coco", "voc", "yolo"] = Field(description="how the labels are written")
    val: Share = Field(description="share of the training pictures set aside for learning curves, if there is no val split")
    test: Share = Field(description="share of all pictures set aside for testing, if the data come unsplit")
    split_seed: int = Field(description="seed of these splits")
    image_size: Annotated[int, Field(ge=64, multiple_of=32)] = Field(description="side of the networks' square input in pixels")
    anchors: Literal["kmeans", "coco"] = Field(description="anchors fitted to the boxes, or the published ones of COCO")


class Augment(Section):
    """How training pictures are varied; picture, boxes and maps move together."""

    mosaic: Fraction = Field(description="probability that four pictures are tiled into one")
    flip: Fraction = Field(description="probability of a left-right flip; 0 where classes do not allow it")
    scale: Share = Field(description="zoom by up to this share in or out")
    translate: Share = Field(description="shift by up to this share of the side")
    color: Share = Field(description="change of brightness, contrast and saturation by up to this share")
    close_mosaic: Fraction = Field(description="share of the epochs, at the end, that run without mosaic")


class Train(Section):
    """One training run."""

    epochs: Count = Field(description="passes over the training pictures")
    batch: Count = Field(description="pictures a step, over all processes")
    optimizer: Literal["adamw", "sgd"] = Field(description="AdamW, or SGD with Nesterov momentum 0.9")
    lr: Positive = Field(description="peak learning rate")
    weight_decay: NotNegative = Field(description="decay of convolution weights")
    warmup_epochs: NotNegative = Field(description="epochs of linear warm-up before the cosine")
    ema_decay: Share = Field(description="decay of the averaged weights, which are the ones that are kept")
    clip_norm: Positive = Field(description="largest gradient norm")
    precision: Literal["auto", "fp32", "bf16"] = Field(description="arithmetic of the networks; auto takes bf16 where the machine has it")
    evaluate_every: Count = Field(description="epochs between two scorings on the val split")
    workers: Annotated[int, Field(ge=0)] = Field(description="processes that load pictures; 0 loads in the training process")


class Detector(Section):
    """A detector and its training."""

    architecture: Literal["yolov3", "yolov3-tiny"] = Field(description="yolov3 or yolov3-tiny")
    width: Positive = Field(description="multiplier of the channels; 1 is the published network")
    depth: Positive = Field(description="multiplier of Darknet-53's residual blocks; 1 is the published network")
    train: Train


class InfoMaps(Section):
    """The information map: how important each place of the teacher's features is."""

    method: Literal["activation", "confidence", "mask", "entropy", "gradient", "uniform"] = Field(description="formula of the map")
    batch: Count = Field(description="pictures a step")


class Distill(Section):
    """What the student learns from the teacher."""

    taps: list[Literal["backbone", "neck"]] = Field(description="features to distill; [] for none")
    strides: list[Literal[8, 16, 32]] = Field(description="strides of the teacher's features; 8 is taught to the student's 16")
    loss: Literal["features", "channels"] = Field(
        description="features: each place imitates the teacher's; channels: each channel is active where the teacher's is"
    )
    weight: NotNegative = Field(
        description="lambda, the weight of the distillation against the detection loss; training warns where it pulls far too hard"
    )
    backbone: NotNegative = Field(description="alpha, the share of the backbone's taps")
    neck: NotNegative = Field(description="beta, the share of the neck's taps")
    schedule: Literal["constant", "cosine", "linear"] = Field(description="how lambda goes down over training; constant holds it")
    response: NotNegative = Field(description="weight of the response term (the teacher's boxes and classes); 0 for none")
    maps: Literal["stored", "live"] = Field(description="maps from compute_info_maps, warped, or computed anew on each augmented picture")


class Evaluate(Section):
    """How models are scored."""

    confidence: Fraction = Field(description="least score of a detection that is scored")
    nms_iou: Fraction = Field(description="overlap above which the weaker box of a class goes")
    max_detections: Count = Field(description="most detections a picture")
    pictures: Count = Field(description="test pictures shown in the report")


class Gate(Section):
    """What a challenger must show to become the champion; scores in 0..1."""

    min_map: Fraction = Field(description="least mAP of any champion")
    min_map50: Fraction = Field(description="least mAP50 of any champion")
    min_gain: Share = Field(description="least rise in mAP over the champion")
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = Field(description="share of the resamples in which mAP must rise")
    resamples: Annotated[int, Field(ge=100)] = Field(description="resamples of the test pictures")
    max_class_drop: Fraction = Field(description="largest fall of one class in AP50")
    max_size_ratio: Positive = Field(description="largest file, in multiples of the champion's")
    max_latency_ratio: Positive = Field(description="longest time for a picture, in multiples of the champion's")
    allow_other_classes: bool = Field(description="whether the classes may differ from the champion's")


class RegisterModel(Section):
    """The export and the registry."""

    name: Annotated[str, Field(min_length=1)] = Field(description="registered model's name")
    confidence: Fraction = Field(description="least score that the exported model returns")
    opset: Annotated[int, Field(ge=18)] = Field(description="ONNX operator set")
    compare_pictures: Count = Field(description="test pictures on which the export must agree with PyTorch")
    tolerance: Positive = Field(description="largest difference of a score, or of a box in shares of the picture's side")
    notify: str = Field(description="shell command that is told of every decision, as JSON on its input; '' for none")
    gate: Gate


class Params(Section):
    """All of `params.yaml`."""

    seed: Annotated[int, Field(ge=0)] = Field(description="seed of the three trainings")
    compose_scenes: ComposeScenes
    data: Data
    augment: Augment
    teacher: Detector
    info_maps: InfoMaps
    student: Detector
    distill: Distill
    evaluate: Evaluate
    register_model: RegisterModel

    def only(self, sections: Collection[str]) -> "Params":
        """These `sections` alone: reading another one is an error, and the digest is of these."""
        return self.model_construct(**{name: value for name, value in self if name in sections})
