"""Loading and scoring a trained model."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.evaluate.scoring import gigaflops
from kd.errors import InputError
from kd.model.darknet import published_spec
from tests.components.trained import write_model


@pytest.mark.parametrize(("architecture", "billions"), [("yolov3-tiny", 5.56), ("yolov3", 65.86)])
def test_gigaflops_equal_the_published_ones(architecture: str, billions: float) -> None:
    assert gigaflops(published_spec(architecture, tuple(map(str, range(80))))) == pytest.approx(billions, rel=0.01)


def test_a_model_for_other_classes_is_refused(outputs: dict[str, Path], evaluated: Callable[..., Path]) -> None:
    write_model(outputs["student"], "yolov3-tiny", ["class 0", "other", "class 2"], seed=0)
    with pytest.raises(InputError, match="is for other classes"):
        evaluated()
