import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from kd.cli import main
from kd.model.build import Network, build_model
from kd.model.coco_names import COCO_NAMES
from kd.model.darknet import TINY_CFG_ANCHORS, published_spec, write_weights
from kd.model.store import load_model, load_spec, save_model


def error_line(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The error line of a command, which must end with exit code 2."""
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    assert end.value.code == 2
    return [line for line in capsys.readouterr().err.splitlines() if "error: " in line][-1]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    Image.new("RGB", (64, 32)).save(folder / "one.JPG", "JPEG")
    Image.new("L", (64, 32)).save(folder / "deep" / "two.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_predict_draws_a_folder_and_writes_json(model_file: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    main(["predict", str(model_file), str(photos), "--out", str(out), "--json", str(tmp_path / "found.json"), "--device", "cpu"])
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == ["deep/two.png", "one.JPG"]
    with Image.open(out / "one.JPG") as drawn:
        assert drawn.format == "JPEG" and drawn.size == (64, 32)
    rows = json.loads((tmp_path / "found.json").read_text())
    assert [row["file"] for row in rows] == ["deep/two.png", "one.JPG"]
    assert rows[0] == {"file": "deep/two.png", "class": "dog", "category_id": 2, "bbox": [12, 6, 40, 20], "score": pytest.approx(0.8808)}
    printed = capsys.readouterr().out
    assert "one.JPG: 1 dog" in printed and "pictures: 2, objects: 2" in printed


def test_predict_does_not_read_its_own_results(model_file: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        main(["predict", str(model_file), str(photos), "--out", str(photos / "drawn"), "--device", "cpu"])
        assert "pictures: 2," in capsys.readouterr().out


def test_predict_reports_a_picture_without_objects(
    model_file: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["predict", str(model_file), str(photos / "one.JPG"), "--out", str(tmp_path / "out"), "--confidence", "0.95", "--device", "cpu"])
    assert "one.JPG: nothing" in capsys.readouterr().out


def test_predict_follows_links_to_folders_and_reports_broken_links(
    model_file: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "camera").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "camera" / "three.png")
    (photos / "camera").symlink_to(tmp_path / "camera")
    (tmp_path / "camera" / "loop").symlink_to(photos)
    (photos / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(SystemExit) as end:
        main(["predict", str(model_file), str(photos), "--out", str(tmp_path / "out"), "--device", "cpu"])
    printed = capsys.readouterr()
    assert end.value.code == 1 and "pictures: 3," in printed.out and "gone.jpg: picture is missing" in printed.err
    assert (tmp_path / "out" / "camera" / "three.png").is_file()


def test_predict_never_overwrites_an_input(model_file: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (photos / "one.JPG").read_bytes()
    assert "overwritten" in error_line(capsys, "predict", model_file, photos / "one.JPG", "--out", photos)
    assert (photos / "one.JPG").read_bytes() == before


def test_predict_rejects_two_results_of_one_name(
    model_file: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "more" / "one.JPG", "JPEG")
    assert "one.JPG" in error_line(capsys, "predict", model_file, photos, tmp_path / "more", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_predict_reports_paths_without_readable_pictures(
    model_file: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = ("predict", model_file, "--device", "cpu", "--out", tmp_path / "out")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    (tmp_path / "empty").mkdir()
    assert "none of 1 pictures can be decoded" in error_line(capsys, *predict, tmp_path / "broken.png")
    assert "missing.png" in error_line(capsys, *predict, photos / "missing.png")
    assert "extension of a picture" in error_line(capsys, *predict, photos / "notes.txt")
    assert "contains no pictures" in error_line(capsys, *predict, tmp_path / "empty")
    assert "is a folder" in error_line(capsys, "predict", tmp_path, photos / "one.JPG")
    assert not list((tmp_path).rglob("*.tmp"))


def test_predict_skips_pictures_that_cannot_be_decoded(
    model_file: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1, and all other pictures are drawn. Hidden files are not pictures."""
    (photos / "broken.png").write_bytes(b"\x89PNG nothing")
    (photos / "._one.JPG").write_bytes(b"\0\5\x16\7 resource fork")
    (photos / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (8, 8)).save(photos / ".ipynb_checkpoints/one-checkpoint.png")
    Image.new("L", (8, 8)).save(photos / "scan.tiff")
    Image.new("RGB", (8, 8)).save(photos / "web.jfif", "JPEG")
    out, rows = tmp_path / "out", tmp_path / "found.json"
    with pytest.raises(SystemExit) as end:
        main(["predict", str(model_file), str(photos), "--out", str(out), "--json", str(rows), "--device", "cpu"])
    printed = capsys.readouterr()
    assert end.value.code == 1
    assert "broken.png: picture cannot be decoded" in printed.err and "skipped: 1 of 5 pictures" in printed.err
    assert "Traceback" not in printed.err and "pictures: 4," in printed.out
    drawn = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert drawn == ["deep/two.png", "one.JPG", "scan.tiff.png", "web.jfif"]
    assert {row["file"] for row in json.loads(rows.read_text())} == {"deep/two.png", "one.JPG", "scan.tiff", "web.jfif"}


@pytest.mark.parametrize(
    "option", [("--confidence", "1.5"), ("--nms-iou", "-1"), ("--confidence", "high"), ("--max-detections", "0"), ("--most", "-1")]
)
def test_predict_rejects_invalid_numbers(
    model_file: Path, photos: Path, option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert option[0].removeprefix("--") in error_line(capsys, "predict", model_file, photos, *option)


def test_converting_to_darknet_and_back_keeps_every_weight(model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, names, back = tmp_path / "m.weights", tmp_path / "my.names", tmp_path / "back.safetensors"
    names.write_text("\ufeffcat\n\ndog \n")  # with a byte order mark
    main(["convert", str(model_file), str(weights)])
    shape = ["--width", "0.125", "--image-size", "32", "--anchors", "cfg"]
    main(["convert", str(weights), str(back), "--architecture", "yolov3-tiny", "--classes", str(names), *shape])
    network, spec = load_model(back)
    original, _ = load_model(model_file)
    kept = {k: v for k, v in original.state_dict().items() if "num_batches" not in k}
    assert all(torch.equal(network.state_dict()[name], value) for name, value in kept.items())
    assert spec.classes == ("cat", "dog") and spec.image_size == 32 and spec.anchors == TINY_CFG_ANCHORS


def test_convert_uses_the_coco_classes_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_weights(tmp_path / "tiny.weights", build_model(published_spec("yolov3-tiny", COCO_NAMES)))
    main(["convert", str(tmp_path / "tiny.weights"), str(tmp_path / "tiny.safetensors"), "--architecture", "yolov3-tiny"])
    spec = load_spec(tmp_path / "tiny.safetensors")
    assert len(spec.classes) == 80 and spec.classes[0] == "person" and spec.classes[-1] == "toothbrush"
    assert spec.anchors[16] == [(23, 27), (37, 58), (81, 82)]
    assert "8,852,366 parameters" in capsys.readouterr().out


def test_convert_reports_invalid_input(
    model_file: Path, confident_network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, target = tmp_path / "m.weights", tmp_path / "t.safetensors"
    write_weights(weights, confident_network)
    (tmp_path / "empty.names").write_text("\n")
    (tmp_path / "twice.names").write_text("cat\ncat\n")
    tiny = ("convert", weights, target, "--architecture", "yolov3-tiny")
    assert "--architecture" in error_line(capsys, "convert", weights, target)
    assert "classes" in error_line(capsys, *tiny)
    assert "contains no class" in error_line(capsys, *tiny, "--classes", tmp_path / "empty.names")
    assert "contains a class twice" in error_line(capsys, *tiny, "--classes", tmp_path / "twice.names")
    assert "multiple of 32" in error_line(capsys, *tiny, "--image-size", "100")
    assert ".weights" in error_line(capsys, "convert", model_file, tmp_path / "model.onnx")
    assert not target.exists()


def test_show_prints_the_properties_of_a_model(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", str(model_file)])
    printed = capsys.readouterr().out
    for expected in ("yolov3-tiny, width 0.125", "2: cat, dog", "32 x 32", "stride 32: 20x10, 16x16, 28x28"):
        assert expected in printed


def test_show_prints_what_the_training_started_from(model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, spec = load_model(model_file)
    pictures = [str(index) for index in range(1200)]
    save_model(
        tmp_path / "tuned.safetensors",
        network,
        spec,
        {"init": "yolov3.weights", "init_digest": "0123", "init_classes": '{"a": "b"}'},
        pictures,
    )
    main(["show", str(tmp_path / "tuned.safetensors")])
    printed = capsys.readouterr().out.splitlines()
    assert "starts from   yolov3.weights (sha256 0123)" in printed and "trained on    1,200 pictures" in printed
    assert 'renamed       {"a": "b"}' in printed


@pytest.mark.parametrize("version", ["champion", "3"])
def test_show_points_to_the_registry_for_a_version(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"`kdflow registry show {version}` shows a registered version" in error_line(capsys, "show", version)


def test_help_has_the_name_of_the_command_that_was_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--help"], prog="kdflow")
    printed = capsys.readouterr().out
    assert "usage: kdflow predict" in printed and "kdflow predict model.safetensors street.jpg" in printed


@pytest.mark.parametrize("command", [(), ("predict",), ("convert",), ("show",)])
def test_help_contains_examples(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    assert "examples:" in (printed := capsys.readouterr().out) and f"kd {command[0] if command else 'predict'} " in printed
