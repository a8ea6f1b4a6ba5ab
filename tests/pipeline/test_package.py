import pytest
from kfp import compiler, dsl

from components.params.load import load_params
from kd.errors import InputError
from pipeline.compile import SPEC
from pipeline.package import read_package, task_names

IMAGE = {"image": "kdflow@sha256:1"}


def test_sections_and_other_arguments(package, repository):
    params = load_params(repository.path / "params.yaml", ["distill.weight=2", "seed=7"])
    given = read_package(package).arguments(params, {**IMAGE, "train_baseline": False})
    assert given.keys() == {"image", "distill", "seed", "train_baseline"}
    assert given["distill"]["weight"] == 2 and given["seed"] == 7 and given["train_baseline"] is False


@pytest.mark.parametrize(
    "more, words",
    [
        ({}, "pipeline 'kdflow': its parameter 'image' has no value; add --image NAME@sha256"),
        ({**IMAGE, "train_basline": False}, "no parameter 'train_basline'; use one of data_rev, distill, image, seed, train_baseline"),
        ({**IMAGE, "train_baseline": "no"}, "'train_baseline' is 'no', not of the type BOOLEAN"),
        ({**IMAGE, "seed": True}, "'seed' is True, not of the type NUMBER_INTEGER"),
        ({**IMAGE, "data_rev": 20}, "'data_rev' is 20, not of the type STRING"),
    ],
)
def test_wrong_arguments(package, repository, more, words):
    with pytest.raises(InputError) as caught:
        read_package(package).arguments(load_params(repository.path / "params.yaml"), more)
    assert words in str(caught.value)


def test_a_pod_has_no_data_of_its_own(repository):
    params, package = load_params(repository.path / "params.yaml"), read_package(SPEC)
    with pytest.raises(InputError, match="data_repo: is empty; add --data-repo REPO"):
        package.arguments(params, IMAGE)
    assert package.arguments(params, {**IMAGE, "data_repo": "https://example.org/data"})["data_repo"]


@pytest.mark.parametrize("text", ["", "a: [", "just text", "root: {}", "- 1", "\x00"])
def test_what_is_no_package(tmp_path, text):
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="is not a compiled pipeline"):
        read_package(path)


def test_a_missing_package(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        read_package(tmp_path / "pipeline.yaml")


def test_steps_stand_behind_those_that_they_wait_for(tmp_path):
    @dsl.component(base_image="python")
    def work(after: str = "") -> str:
        return after

    @dsl.pipeline(name="inner")
    def inner(after: str) -> str:
        return work(after=after).set_display_name("shown otherwise").output

    @dsl.pipeline(name="outer")
    def outer(wanted: bool = True):
        zero = work()
        with dsl.If(wanted == True):  # noqa: E712
            work(after=zero.output)
        work(after=inner(after=zero.output).output)

    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(outer, str(path))
    import yaml

    spec = yaml.safe_load(path.read_text())
    found = task_names(spec)
    assert found[0] == "work" and sorted(found) == ["work", "work", "work-2", "work-3"]
    assert found.index("work-3") > found.index("work", 1)
    assert task_names({"pipeline_spec": spec, "platform_spec": {}}) == found
