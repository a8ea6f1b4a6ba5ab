"""Pydantic models of `params.yaml`. `kdflow params` prints each parameter with its value, allowed values and description."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from components.params.values import (
    AscendingCounts,
    BelowOne,
    Count,
    Distinct,
    FolderPath,
    Fraction,
    GroupPattern,
    ImageSize,
    ModelName,
    NotNegative,
    Opset,
    OptionalFolderPath,
    OptionalModelName,
    Positive,
    PublicKey,
    Scale,
    Seed,
    WeightsSource,
    Workers,
)
from kd.files import digest_json

WORKERS = "number of processes that load pictures; 0 for none; auto: one less than the processors with a GPU, 0 without"


class Section(BaseModel):
    """A section of `params.yaml`: immutable, with strict types and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def digest(self) -> str:
        """SHA-256 of the section's values, as hex."""
        return digest_json(self.model_dump(mode="json"))

    def flat(self, exclude: Collection[str] = ()) -> dict[str, Any]:
        """The values by dotted name, such as "train.epochs", without those of the sections `exclude`."""
        flat: dict[str, Any] = {}
        for name, value in self:
            if name in exclude:
                continue
            flat |= {f"{name}.{key}": inner for key, inner in value.flat().items()} if isinstance(value, Section) else {name: value}
        return flat


class ComposeScenes(Section):
    """The embedded default dataset."""

    train: Count = Field(description="number of training pictures")
    test: Count = Field(description="number of test pictures")
    size: ImageSize = Field(description="width and height of a picture in pixels")
    objects: AscendingCounts = Field(description="minimum and maximum number of digits in a picture", min_length=2, max_length=2)
    seed: Seed = Field(description="random seed of the pictures")


class Data(Section):
    """The labeled pictures and their preparation."""

    path: FolderPath = Field(description="folder with pictures and labels; the default is the embedded dataset")
    unlabelled: OptionalFolderPath = Field(
        default="", description="folder with pictures without labels, which only the student learns from; '' for none"
    )
    layout: Literal["auto", "coco", "voc", "yolo"] = Field(description="format of the labels; auto detects it")
    val: BelowOne = Field(description="fraction of the training pictures to split off for validation, if there is no val split")
    test: BelowOne = Field(description="fraction of the training pictures to split off for testing, if there is no test split")
    split_seed: Seed = Field(description="random seed of these splits")
    image_size: ImageSize = Field(description="width and height of the networks' input in pixels")
    anchors: Literal["kmeans", "coco"] = Field(description="kmeans: fitted to the training boxes; coco: the published anchors of COCO")
    strict: bool = Field(description="whether doubtful data are an error instead of a warning")
    skip_unreadable: bool = Field(description="whether pictures that cannot be decoded are dropped instead of an error")


class Augment(Section):
    """Augmentation of the training pictures, and of their boxes and information maps."""

    mosaic: Fraction = Field(description="probability of a mosaic of four pictures")
    flip: Fraction = Field(description="probability of a horizontal flip; 0 if a mirrored object would be of another class")
    scale: BelowOne = Field(description="random scale: a factor of 1 - scale to 1 + scale")
    translate: BelowOne = Field(description="random shift in each direction by up to this fraction of the side")
    color: BelowOne = Field(description="color jitter: random brightness, contrast and saturation, each a factor of 1 - color to 1 + color")
    close_mosaic: Fraction = Field(description="fraction of the epochs, at the end of the training, without mosaic")
    multi_scale: BelowOne = Field(
        default=0.0,
        description="random size of the pictures of a batch, from 1 - multi_scale to 1 + multi_scale times data.image_size; 0 for one size",
    )


class FineTune(Section):
    """What differs if the initial weights know all classes, such as those of last week's model."""

    epochs: Annotated[int, Field(ge=0)] = Field(description="number of epochs if the initial weights have all classes; 0: as train.epochs")
    lr: NotNegative = Field(description="learning rate if the initial weights have all classes; 0: as train.lr")


class Train(Section):
    """One training."""

    epochs: Count = Field(description="number of epochs")
    batch: Count = Field(description="batch size, summed over all GPUs")
    optimizer: Literal["adamw", "sgd"] = Field(description="adamw: AdamW; sgd: SGD with Nesterov momentum 0.9")
    lr: Positive = Field(description="learning rate after the warm-up; cosine decay follows")
    backbone_lr: NotNegative = Field(default=1.0, description="factor of the learning rate of the backbone")
    freeze_epochs: Annotated[int, Field(ge=0)] = Field(
        default=0, description="number of epochs, at the start, in which the backbone does not change; train.epochs for all"
    )
    weight_decay: NotNegative = Field(description="weight decay of the convolution weights; biases and normalization have none")
    warmup_epochs: NotNegative = Field(le=1_000_000, description="epochs of linear learning rate warm-up")
    ema_decay: BelowOne = Field(description="decay of the exponential moving average of the weights; the average is evaluated and saved")
    clip_norm: Positive = Field(description="maximum gradient norm, for gradient clipping; of the adapters, too, for themselves")
    accumulate: Count = Field(default=1, description="number of batches whose gradients are averaged for one step of the optimizer")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        description="autocast dtype; auto: bf16 if the hardware supports it, else fp16 with loss scaling on a GPU and fp32 on a CPU"
    )
    evaluate_every: Count = Field(description="epochs between two evaluations on the val split")
    patience: Annotated[int, Field(ge=0)] = Field(
        default=0, description="number of evaluations in a row without a higher mAP on the val split that end the training; 0 for never"
    )
    keep_epoch: Literal["last", "best"] = Field(
        default="last",
        description="whose weights are the result: those of the last epoch, or of the one with the best mAP on the val split",
    )
    workers: Workers = Field(description=WORKERS)
    cache: bool = Field(default=True, description="whether decoded pictures stay in memory, in up to half of what is free")
    sync_batch_norm: bool = Field(default=False, description="whether batch normalization is over the batches of all GPUs")
    compile: bool = Field(default=False, description="whether the networks are compiled with torch.compile; needs a compiler")
    deterministic: bool = Field(default=True, description="whether a GPU uses deterministic kernels; false may be faster")
    fine_tune: FineTune = FineTune(epochs=0, lr=0.0)


class Detector(Section):
    """A detector and its training."""

    architecture: Literal["yolov3", "yolov3-tiny"] = Field(description="network architecture")
    width: Scale = Field(description="factor of the number of channels; 1 is the published network")
    depth: Scale = Field(description="factor of the number of residual blocks of Darknet-53; 1 is the published network")
    init: WeightsSource = Field(
        default="", description="weights to start from: a .safetensors or Darknet file, or models:/NAME@ALIAS; '' for random weights"
    )
    init_license: str = Field(
        default="", max_length=1000, description="license of these weights, recorded with the models; '' for that of the file"
    )
    classes: dict[str, str] = Field(
        default={}, description="classes that these weights and the data name differently, such as {motorbike: motorcycle}; {} for none"
    )
    train: Train

    @field_validator("classes")
    @classmethod
    def _check_has_weights(cls, classes: dict[str, str], others: ValidationInfo) -> dict[str, str]:
        if classes and not others.data.get("init"):
            raise ValueError("these are the names of classes in init, which is not set")
        return classes


class TeacherTrain(Train):
    """The training of the teacher."""

    epochs: Annotated[int, Field(ge=0)] = Field(description="number of epochs; 0 for initial weights that are not trained further")


class Teacher(Detector):
    """The teacher and its training."""

    train: TeacherTrain

    @field_validator("train")
    @classmethod
    def _check_epochs(cls, train: TeacherTrain, others: ValidationInfo) -> TeacherTrain:
        if not train.epochs and not others.data.get("init"):
            raise ValueError("without epochs, init must name trained weights")
        return train


class InfoMaps(Section):
    """The information map: the importance of each position of the teacher's features."""

    method: Literal["activation", "confidence", "mask", "entropy", "gradient", "uniform"] = Field(
        description="method to compute the information map; see kd/distillation/info_map.py"
    )
    batch: Count = Field(description="batch size")
    workers: Workers = Field(default="auto", description=WORKERS)


class Distill(Section):
    """The distillation loss: weight * (backbone * sum of backbone losses + neck * sum of neck losses) + response * response loss."""

    taps: Distinct[Literal["backbone", "neck"]] = Field(description="parts of the networks that are distilled; [] for none")
    strides: Distinct[Literal[8, 16, 32]] = Field(
        description="strides of the teacher's features; the student has no stride 8 and uses its stride 16"
    )
    loss: Literal["features", "channels"] = Field(
        description="features: squared difference at each position; channels: KL divergence of each channel's softmax over the positions"
    )
    weight: NotNegative = Field(description="lambda, weight of the distillation; training warns if its gradient is far too large")
    backbone: NotNegative = Field(description="alpha, relative weight of the backbone taps")
    neck: NotNegative = Field(description="beta, relative weight of the neck taps")
    schedule: Literal["constant", "cosine", "linear"] = Field(description="decay of lambda over the training; constant: no decay")
    response: NotNegative = Field(description="weight of the response loss on the teacher's boxes and class scores; 0 turns it off")
    unlabelled: BelowOne = Field(
        default=0.5,
        description="share of the pictures without labels in a batch, which they are added to, if data.unlabelled is set; 0 for none",
    )
    maps: Literal["stored", "live"] = Field(
        description="stored: warp the maps of compute_info_maps like the picture; live: compute them on the augmented picture"
    )


class Evaluate(Section):
    """The evaluation on the test pictures."""

    confidence: Fraction = Field(description="minimum score of a detection")
    nms_iou: Fraction = Field(description="IoU threshold of non-maximum suppression, per class")
    max_detections: Count = Field(description="maximum number of detections per picture")
    pictures: Count = Field(description="number of test pictures shown in the report")
    workers: Workers = Field(default="auto", description=WORKERS)


class Gate(Section):
    """The gate: what a model must reach to become the champion. All scores are in 0..1."""

    min_map: Fraction = Field(description="minimum mAP")
    min_map50: Fraction = Field(description="minimum mAP50")
    max_map_difference: Fraction = Field(description="maximum difference in mAP from the step evaluate on the same test pictures")
    min_gain: BelowOne = Field(description="minimum gain in mAP over the champion")
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = Field(description="fraction of the bootstrap resamples in which mAP must rise")
    resamples: Annotated[int, Field(ge=100)] = Field(description="number of bootstrap resamples of the test pictures")
    comparisons: Count = Field(
        description="number of comparisons on the same test pictures over which confidence is kept (Bonferroni correction)"
    )
    seed_std: BelowOne = Field(
        default=0.005, description="standard deviation of mAP between trainings that differ only in their seed; 0 to not include it"
    )
    group_pattern: GroupPattern = Field(
        description="regular expression whose group (...) in a file name is what related test pictures share, such as a video; '' for none"
    )
    min_pictures: Count = Field(description="minimum number of test pictures, or groups of them, for a comparison with the champion")
    min_objects: Annotated[int, Field(ge=0)] = Field(description="minimum number of test objects of each class, for the same comparison")
    unjudged: Distinct[str] = Field(description="classes that may have fewer test objects and may drop; [] for none")
    max_class_drop: Fraction = Field(description="maximum drop of a class in AP and in AP50")
    max_significant_drop: Fraction = Field(description="maximum drop of a class at the lower end of its confidence interval")
    max_size_ratio: Positive = Field(description="maximum size of the ONNX file, relative to the champion's")
    max_latency_ratio: Positive = Field(description="maximum time per picture, relative to the champion's")
    allow_other_classes: bool = Field(description="whether the classes may differ from the champion's")
    approval: Literal["auto", "manual"] = Field(
        description="auto: a model that passes becomes the champion; manual: it waits for `kdflow registry approve`"
    )


class RegisterModel(Section):
    """The export to ONNX and the model registry."""

    name: ModelName = Field(description="name of the registered model in MLflow")
    teacher: OptionalModelName = Field(
        default="", description="name of the teacher's registered model, for teacher.init of later runs; '' to not register it"
    )
    confidence: Fraction = Field(description="default minimum score of a detection in the exported model")
    opset: Opset = Field(description="ONNX opset version")
    compare_pictures: Count = Field(description="number of test pictures on which ONNX and PyTorch are compared")
    tolerance: Positive = Field(
        description="maximum difference between ONNX and PyTorch in a score, or in a box coordinate as a fraction of the picture's side"
    )
    notify: str = Field(description="shell command that is run after each decision, with the decision as JSON on stdin; '' for none")
    public_key: PublicKey = Field(
        default="", description="Ed25519 key that signatures of versions are checked with, in base64; '' for no signatures"
    )
    gate: Gate

    @field_validator("teacher")
    @classmethod
    def _check_differs(cls, teacher: str, others: ValidationInfo) -> str:
        name = others.data.get("name", "")
        if teacher and (teacher == name or f"{teacher}.journal" == name or teacher == f"{name}.journal"):
            raise ValueError("the student's registered model has this name, or a journal of this name")
        return teacher


class Params(Section):
    """All of `params.yaml`."""

    seed: Seed = Field(description="random seed of the three trainings")
    compose_scenes: ComposeScenes
    data: Data
    augment: Augment
    teacher: Teacher
    info_maps: InfoMaps
    student: Detector
    distill: Distill
    evaluate: Evaluate
    register_model: RegisterModel

    def only(self, sections: Collection[str]) -> "Params":
        """A copy that has only these `sections`: access to another one raises AttributeError."""
        return self.model_construct(**{name: value for name, value in self if name in sections})
