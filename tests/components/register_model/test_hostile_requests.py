"""A served model and 40 requests that want to fell it: each gets one clear answer, and the server lives and stays small."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from kd.data.letterbox import MAX_MEGAPIXELS
from tests.components.packaged import model_folder
from tests.components.serving import Server, serve

JSON = "application/json"
LIMIT = 1000
"""Megabytes."""


def png(mode: str, width: int, height: int) -> bytes:
    """A black picture; a million pixels of it take about a kilobyte."""
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def gif() -> bytes:
    file = io.BytesIO()
    Image.new("P", (9, 9)).save(file, "GIF")
    return file.getvalue()


def with_chunk(kind: bytes) -> bytes:
    """A PNG with 200 megabytes of text, or of a color profile, compressed to 200 kilobytes."""
    content = b"a\0\0" + zlib.compress(bytes(200_000_000), 9)
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return SMALL[:33] + chunk + SMALL[33:]


def encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def inputs(*pictures: object, **others: object) -> str:
    return json.dumps({"inputs": [encode(one) if isinstance(one, bytes) else one for one in pictures], **others})


def params(name: str, value: str) -> str:
    return f'{{"inputs": ["{encode(SMALL)}"], "params": {{"{name}": {value}}}}}'


SMALL = png("RGB", 64, 48)
UNKNOWN, TOO_LARGE = "it is not a picture of a known format", f"it has more than {MAX_MEGAPIXELS} megapixels, the largest size"
REFUSED_BY_THE_MODEL = {
    "bad base64": (lambda: inputs("!!!"), f"picture 0 cannot be decoded: {UNKNOWN}"),
    "cut base64": (lambda: inputs(encode(SMALL)[:-7]), f"picture 0 cannot be decoded: {UNKNOWN}"),
    "text": (lambda: inputs(b"no picture"), f"picture 0 cannot be decoded: {UNKNOWN}"),
    "empty text": (lambda: inputs(""), f"picture 0 cannot be decoded: {UNKNOWN}"),
    "null": (lambda: inputs(None), f"picture 0 cannot be decoded: {UNKNOWN}"),
    "NaN": (lambda: '{"inputs": [NaN]}', f"picture 0 cannot be decoded: {UNKNOWN}"),
    "true": (lambda: inputs(True), f"picture 0 cannot be decoded: {UNKNOWN}"),
    "a list": (lambda: inputs([encode(SMALL)]), "picture 0 cannot be decoded: it is a list"),
    "GIF": (lambda: inputs(gif()), f"picture 0 cannot be decoded: {UNKNOWN}"),
    "the second of three": (lambda: inputs(SMALL, b"x", SMALL), f"picture 1 cannot be decoded: {UNKNOWN}"),
    "truncated PNG": (lambda: inputs(png("RGB", 300, 300)[:-40]), "picture 0 cannot be decoded: image file is truncated"),
    "65 megapixels": (lambda: inputs(png("L", 8125, 8001)), f"picture 0 cannot be decoded: {TOO_LARGE}"),
    "palette bomb": (lambda: inputs(png("P", 30_000, 30_000)), f"picture 0 cannot be decoded: {TOO_LARGE}"),
    "RGBA bomb": (lambda: inputs(png("RGBA", 10_000, 8000)), f"picture 0 cannot be decoded: {TOO_LARGE}"),
    "text bomb": (lambda: inputs(with_chunk(b"zTXt")), "picture 0 cannot be decoded: Decompressed data too large"),
    "profile bomb": (lambda: inputs(with_chunk(b"iCCP")), "picture 0 cannot be decoded: Decompressed data too large"),
    "confidence NaN": (lambda: params("confidence", "NaN"), "params: confidence must be in 0..1, not nan"),
    "confidence below 0": (lambda: params("confidence", "-5"), "params: confidence must be in 0..1, not -5"),
    "infinite IoU": (lambda: params("nms_iou", "Infinity"), "params: nms_iou must be in 0..1, not inf"),
    "no detections": (lambda: params("most", "0"), "params: most must be in 1..100000, not 0"),
    "too many detections": (lambda: params("most", "99999999999999999999"), "params: most must be in 1..100000, not 1e+20"),
}
"""Requests that reach the model, and its message."""
REFUSED_BY_MLFLOW = {
    "nothing": (JSON, "", "valid JSON"),
    "half an object": (JSON, "{", "valid JSON"),
    "no UTF-8": (JSON, b"\xff\xfe{", "valid JSON"),
    "a number": (JSON, "7", "must be a JSON dictionary"),
    "a top-level list": (JSON, "[1]", "must be a JSON dictionary"),
    "900 lists": (JSON, f'{{"inputs": {"[" * 900}{"]" * 900}}}', "RecursionError"),
    "another field": (JSON, '{"pictures": []}', "exactly one of the input fields"),
    "two fields": (JSON, '{"inputs": [], "instances": []}', "exactly one of the input fields"),
    "no columns": (JSON, '{"inputs": {}}', "Model is missing inputs ['picture']"),
    "another column": (JSON, json.dumps({"inputs": {"image": [encode(SMALL)]}}), "Model is missing inputs ['picture']"),
    "a number for pictures": (JSON, '{"inputs": 1e999}', "Model is missing inputs ['picture']"),
    "objects": (JSON, '{"inputs": [{"a": 1}]}', "Model is missing inputs ['picture']"),
    "rows of other lengths": (JSON, '{"dataframe_split": {"columns": ["picture"], "data": [["a"], [1, 2]]}}', "1 columns passed"),
    "no rows": (JSON, '{"dataframe_split": {"columns": ["picture"]}}', "must have 'data' field"),
    "records as text": (JSON, '{"dataframe_records": "x"}', "must be a list of records"),
    "params as a list": (JSON, json.dumps({"inputs": [encode(SMALL)], "params": [1]}), "Parameters must be a dictionary"),
    "params as text": (JSON, params("confidence", '"high"'), "Can not safely convert"),
    "broken Parquet": ("application/vnd.apache.parquet", "PAR1xxxxPAR1", "valid Parquet"),
    "other CSV": ("text/csv", "a,b\n1,2", "Model is missing inputs ['picture']"),
}
"""Requests that MLflow refuses before it calls the model, and a part of its message, which repeats the request."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    with serve(model_folder() / "package", folder, {"MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "600"}) as running:
        yield running


@pytest.mark.slow
def test_the_model_refuses_in_one_line_and_does_not_repeat_the_request(server: Server) -> None:
    for name, (body, message) in REFUSED_BY_THE_MODEL.items():
        status, answer = server.post_text(body(), JSON)
        content = json.loads(answer)
        assert (status, content["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), name
        assert content["message"].startswith(message) and "\n" not in content["message"] and len(answer) < 400, name
        assert "stack_trace" not in content, name
    assert lives(server) and server.peak_megabytes() < LIMIT


@pytest.mark.slow
def test_mlflow_refuses_what_is_no_request(server: Server) -> None:
    for name, (kind, body, message) in REFUSED_BY_MLFLOW.items():
        status, answer = server.post_text(body, kind)
        assert status == 400 and message in json.loads(answer)["message"], name
    for kind in ("text/plain", "", "application/json; charset=latin-1"):
        assert server.post_text("{}", kind)[0] == 415, kind
    for body in ("[" * 100_000, f'{{"inputs": [{"9" * 5000}]}}'):
        assert server.post_text(body, JSON) == (500, "Internal Server Error"), "json.loads fails in a way that MLflow does not expect"
    assert server.post({"inputs": []}) == (200, {"predictions": []})
    assert lives(server) and server.peak_megabytes() < LIMIT


@pytest.mark.slow
def test_sixteen_of_the_largest_pictures_in_one_request_take_less_than_a_gigabyte(server: Server) -> None:
    pictures = [encode(png(mode, 8000, 1000 * MAX_MEGAPIXELS // 8)) for mode in ("RGB", "RGBA", "P")]
    status, content = server.post({"inputs": [pictures[index % 3] for index in range(16)]})
    assert status == 200 and len(content["predictions"]) == 16
    assert lives(server) and server.peak_megabytes() < LIMIT


@pytest.mark.slow
def test_large_pictures_of_several_requests_at_once_are_decoded_one_after_the_other(server: Server) -> None:
    content = {"inputs": [encode(png("RGBA", 8000, 1000 * MAX_MEGAPIXELS // 8))]}
    with ThreadPoolExecutor(4) as pool:
        assert [status for status, _ in pool.map(server.post, [content] * 4)] == [200] * 4
    assert lives(server) and server.peak_megabytes() < LIMIT


def lives(server: Server) -> bool:
    """Whether the server answers a good request."""
    status, content = server.post({"inputs": [encode(SMALL)]})
    return status == 200 and len(content["predictions"]) == 1
