"""Export a network to one ONNX file that takes pictures and returns detections, so that using it needs no torch.

The file contains the network and `kd.detection.decode.decode_boxes`, exported by torch, followed by
`kd.detection.decode.postprocess` for a batch, written below in ONNX's text format. It depends only on the network and the
settings: equal ones give equal bytes, so it contains no paths and no time.
"""

import json
import logging
import warnings
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from onnx import compose, helper, parser
from torch import Tensor, nn

from kd.data.anchors import Anchors
from kd.detection.decode import decode_boxes
from kd.detection.evaluate import NMSConfig
from kd.files import atomic_file
from kd.model.build import Network
from kd.model.spec import ModelSpec

MAX_CANDIDATES = 4096
"""At most this many candidates of a picture enter the suppression; the default of `max_candidates` in `kd.detection.decode.postprocess`."""

POSTPROCESS = """
<ir_version: {ir_version}, opset_import: ["" : {opset}]>
select (float[N, {candidates}, 4] candidates, float[N, {candidates}, {classes}] strengths,
        float confidence = {{{confidence:.9f}}}, float nms_iou = {{{nms_iou:.9f}}}, int64 most = {{{max_detections}}})
    => (float[M, 4] boxes, float[M] scores, int64[M] labels, int64[M] pictures)
{{
    before_nms = Constant <value_ints = [{before_nms}]> ()
    number_of_all = Constant <value_ints = [{number_of_all}]> ()
    classes = Constant <value_int = {classes}> ()
    zero = Constant <value_float = 0.0> ()
    first = Constant <value_int = 0> ()
    last = Constant <value_ints = [-1]> ()
    per_picture = Constant <value_ints = [0, -1]> ()
    like_strengths = Constant <value_ints = [0, 1, 1]> ()
    place_before_class = Constant <value_ints = [0, 2, 1]> ()

    all_strengths = Reshape (strengths, per_picture)
    strongest, _ = TopK (all_strengths, before_nms)
    least = Gather <axis = 1> (strongest, last)
    least_by_place = Reshape (least, like_strengths)
    enters = GreaterOrEqual (strengths, least_by_place)
    entering = Where (enters, strengths, zero)

    by_class = Transpose <perm = [0, 2, 1]> (entering)
    survivors = NonMaxSuppression (candidates, by_class, most, nms_iou, confidence)
    survivors_by_place = Gather <axis = 1> (survivors, place_before_class)
    survivors_strengths = GatherND (strengths, survivors_by_place)
    shape = Shape (strengths)
    nothing = ConstantOfShape (shape)
    surviving = ScatterND (nothing, survivors_by_place, survivors_strengths)

    all_surviving = Reshape (surviving, per_picture)
    most_of_all = Min (most, number_of_all)
    ranked, ranked_at = TopK (all_surviving, most_of_all)
    is_found = Greater (ranked, confidence)
    found_by_axis = NonZero (is_found)
    found = Transpose (found_by_axis)
    scores = GatherND (ranked, found)
    found_at = GatherND (ranked_at, found)
    labels = Mod (found_at, classes)
    places = Div (found_at, classes)
    pictures = Gather <axis = 1> (found, first)
    picture_column = Unsqueeze (pictures, last)
    place_column = Unsqueeze (places, last)
    box_at = Concat <axis = 1> (picture_column, place_column)
    boxes = GatherND (candidates, box_at)
}}
"""
"""The names in this graph are part of the exported file: changing one changes the digest of every export."""


class DecodedNetwork(nn.Module):
    """A network followed by `decode_boxes`: boxes [N, P, 4] in pixels and class scores [N, P, K]."""

    def __init__(self, network: Network, anchors: Anchors) -> None:
        super().__init__()
        self.network, self.anchors = network, anchors

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Predict on images [N, 3, S, S] in 0..1."""
        return decode_boxes(self.network(images).heads, self.anchors)


def export_onnx(network: Network, spec: ModelSpec, path: Path, nms: NMSConfig, opset: int = 18) -> None:
    """Write `network` as an ONNX file.

    Its input is "images", float32 [N, 3, S, S] in 0..1, RGB, letterboxed. Its outputs are "boxes" [M, 4], (x0, y0, x1, y1)
    in pixels of the letterboxed picture, "scores" [M], "labels" [M] and "pictures" [M], the index in the batch. They are sorted
    by picture and then by descending score. Its metadata are the "classes" (JSON, in the order of the labels) and the
    "image_size" S.

    "confidence", "nms_iou" and "most" (the maximum number of detections in a picture) are optional inputs with the defaults of `nms`.

    Args:
        network: the detector, in evaluation mode, on the CPU.
        spec: its classes, anchors and image size.
        path: the file; it is written completely or not at all.
        nms: default values of the optional inputs.
        opset: ONNX operator set, 18 or newer.
    """
    exported = _export_network(DecodedNetwork(network, spec.anchors).eval(), spec.image_size, opset)
    candidates = exported.graph.output[1].type.tensor_type.shape.dim[1].dim_value
    model = compose.merge_models(
        exported,
        postprocess_model(candidates, len(spec.classes), nms, exported.ir_version, opset),
        io_map=[("candidates", "candidates"), ("strengths", "strengths")],
        name="kdflow",
        producer_name="kdflow",
        producer_version="",
    )
    del model.opset_import[1:]  # merge_models lists the operator set once per part
    _strip_debug_info(model)
    helper.set_model_props(model, {"classes": json.dumps(spec.classes), "image_size": str(spec.image_size)})
    onnx.checker.check_model(model, full_check=True)
    with atomic_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def postprocess_model(candidates: int, classes: int, nms: NMSConfig, ir_version: int, opset: int) -> onnx.ModelProto:
    """`kd.detection.decode.postprocess` for a batch, as an ONNX model.

    Its inputs are "candidates" [N, `candidates`, 4] and "strengths" (class scores) [N, `candidates`, `classes`].
    """
    scores = candidates * classes
    sizes = {"candidates": candidates, "classes": classes, "number_of_all": scores, "before_nms": min(MAX_CANDIDATES, scores)}
    return parser.parse_model(POSTPROCESS.format(ir_version=ir_version, opset=opset, **sizes, **asdict(nms)))


def _export_network(module: nn.Module, image_size: int, opset: int) -> onnx.ModelProto:
    for name in ("onnx_ir", "onnxscript"):
        logging.getLogger(name).setLevel(logging.WARNING)  # Kubeflow's root logger would print two dozen lines about the graph
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation warnings inside torch
        program = torch.onnx.export(
            module,
            (torch.zeros(2, 3, image_size, image_size),),
            input_names=["images"],
            output_names=["candidates", "strengths"],
            dynamic_shapes={"images": {0: torch.export.Dim("N")}},
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _strip_debug_info(model: onnx.ModelProto) -> None:
    """Remove file names, source lines and intermediate shapes, which differ between machines."""
    del model.graph.value_info[:]
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
