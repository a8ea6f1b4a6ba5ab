"""Variants by name: what they change, what they are compared with, and which names are refused."""

from pathlib import Path

import pytest

from benchmarks.variants import Variant, groups, parse, select
from components.params.load import load_params
from components.params.models import Params
from kd.distillation.info_map import METHODS
from kd.errors import InputError

ROOT = Path(__file__).parents[2]
PARAMS = load_params(ROOT / "params.yaml")


def params_of(name: str) -> Params:
    return load_params(ROOT / "params.yaml", parse(name).changes)


@pytest.mark.parametrize(
    ("name", "method", "taps", "response"),
    [
        ("activation-both", "activation", ["backbone", "neck"], 0),
        ("mask-neck", "mask", ["neck"], 0),
        ("gradient-backbone+response", "gradient", ["backbone"], 1),
        ("response", PARAMS.info_maps.method, [], 1),
        ("fgd", "uniform", ["backbone", "neck"], 0),
    ],
)
def test_a_name_is_a_change_of_the_parameters(name: str, method: str, taps: list[str], response: float) -> None:
    params = params_of(name)
    assert (params.info_maps.method, params.distill.taps, params.distill.response) == (method, taps, response)
    assert (params.student, params.augment, params.distill.weight) == (PARAMS.student, PARAMS.augment, PARAMS.distill.weight)


def test_default_and_alone_are_the_file_as_it_is() -> None:
    assert params_of("default") == params_of("baseline") == PARAMS
    assert parse("baseline").is_baseline and not parse("default").is_baseline
    assert parse("pkd").published == "pkd" and parse("default").published is None


def test_keys_without_a_section_belong_to_distill() -> None:
    params = params_of("uniform-both@w=3.5,schedule=linear,taps=[neck],student.train.epochs=7")
    assert (params.distill.weight, params.distill.schedule, params.distill.taps) == (3.5, "linear", ["neck"])
    assert params.student.train.epochs == 7


def test_the_baseline_gets_what_touches_the_student() -> None:
    longer = parse("activation-both@w=3,student.train.epochs=24,augment.flip=0.5")
    assert longer.baseline == "baseline@augment.flip=0.5,student.train.epochs=24"
    alone = load_params(ROOT / "params.yaml", parse(longer.baseline).changes)
    assert (alone.student, alone.augment) == (params_of(longer.name).student, params_of(longer.name).augment)
    assert alone.distill == PARAMS.distill
    assert parse("activation-both@w=3").baseline == "baseline"


def test_the_order_of_changes_makes_no_other_variant() -> None:
    assert parse("default@w=3,schedule=linear") == parse("default@schedule=linear, distill.weight=3")
    names = {parse(f"default@{change}").folder for change in ("w=3", "w=30", "student.lr=3", "taps=[neck]", "taps=[backbone]")}
    assert len(names) == 5 and not any(set(name) & set("/ \\:*") for name in names)


def test_every_variant_comes_once_and_after_its_baseline() -> None:
    chosen = select(["methods", "activation-both", "default@student.train.epochs=3"], PARAMS)
    names = [variant.name for variant in chosen]
    assert names == [
        "baseline",
        "baseline@student.train.epochs=3",
        *(f"{method}-both" for method in METHODS),
        "default@student.train.epochs=3",
    ]


@pytest.mark.parametrize("group", groups(PARAMS))
def test_every_group_holds_variants_with_valid_parameters(group: str) -> None:
    chosen = select([group], PARAMS)
    assert len(chosen) > 2 and chosen[0].is_baseline
    assert all(isinstance(params_of(variant.name), Params) for variant in chosen)


def test_all_holds_what_the_method_is_asked() -> None:
    names = {variant.name for variant in select(["all"], PARAMS)}
    assert {f"{method}-{taps}" for method in METHODS for taps in ("backbone", "neck", "both")} <= names
    assert {"baseline", "default", "response", "activation-both+response", "fitnets", "fgfi", "cwd", "pkd", "fgd"} <= names


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nonsense", "'nonsense' is neither a variant nor a group"),
        ("activation", "neither a variant"),
        ("activation-head", "neither a variant"),
        ("color-both", "neither a variant"),
        ("response+response", "neither a variant"),
        ("default@weight", "'weight' in 'default@weight' is not a change"),
        ("default@teacher.width=1", "is not a change of a variant"),
        ("default@data.image_size=96", "is not a change of a variant"),
        ("baseline@w=3", "has no teacher"),
    ],
)
def test_a_wrong_name_is_refused(name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse(name)


def test_equal_names_are_equal_variants() -> None:
    assert parse("baseline") == Variant("baseline", (), is_baseline=True)
