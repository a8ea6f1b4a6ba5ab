"""The variants of an ablation by name: what each changes in the parameters.

    baseline                      the student without a teacher, which all others are compared with
    default                       the parameter file unchanged
    METHOD-TAPS                   a method of the information map (activation, mask, ...) at backbone, neck or both
    METHOD-TAPS+response          also with the teacher's boxes and classes
    response                      only the teacher's boxes and classes
    fitnets, fgfi, cwd, pkd, fgd  published losses at both taps, on the pictures with labels
    pseudo                        no distillation: the teacher's boxes are labels of the pictures without labels
    NAME@KEY=VALUE,...            any of them with other parameters: of the section `distill` (w is its weight), or
                                  section.name of `student`, `augment`, `distill` and `info_maps`

A variant that changes the student or the augmentation is compared with a baseline that has the same change.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.published import PUBLISHED_METHODS
from components.params.models import Params
from kd.distillation.info_map import METHODS
from kd.distillation.loss import TAP_LOSSES
from kd.errors import InputError

BASELINE, DEFAULT, RESPONSE, PSEUDO = "baseline", "default", "response", "pseudo"
TAPS = {"backbone": "[backbone]", "neck": "[neck]", "both": "[backbone, neck]"}
STUDENTS = ("student", "augment")
"""Sections that the baseline depends on as well."""
SECTIONS = (*STUDENTS, "distill", "info_maps")
FACTORS = (0.25, 0.5, 2.0, 4.0)
EPOCH_FACTORS = (0.5, 2.0)
PUBLISHED_FACTORS = (0.1, 0.3, 3.0)
SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Variant:
    """One way to train the student.

    Attributes:
        name: what the table calls it; equal names are equal trainings.
        changes: changes of the parameters, as `load_params` takes them.
        is_baseline: whether there is no teacher.
        published: a key of `PUBLISHED_METHODS`, `PSEUDO`, or None.
        baseline: the name of the baseline that it is compared with.
    """

    name: str
    changes: tuple[str, ...]
    is_baseline: bool = False
    published: str | None = None
    baseline: str = BASELINE

    @property
    def folder(self) -> str:
        """The name as a folder."""
        return re.sub(r"[^\w.+=@-]+", "_", self.name)


def select(names: Sequence[str], params: Params) -> list[Variant]:
    """The variants of `names` and groups, each once, and every baseline that they are compared with, first.

    Raises:
        InputError: naming what is not a variant, a group or a parameter of a variant.
    """
    asked = [parse(name) for given in names for name in groups(params).get(given, [given])]
    baselines = [parse(variant.baseline) for variant in asked]
    return list({variant.name: variant for variant in (*baselines, *asked)}.values())


def groups(params: Params) -> dict[str, list[str]]:
    """The names in each group; the sweeps are relative to the weight in the parameter file."""
    weight = params.distill.weight
    sweep = {
        "taps": [f"{method}-{taps}" for method in ("activation", "uniform") for taps in TAPS],
        "methods": [f"{method}-both" for method in METHODS],
        "grid": [f"{method}-{taps}" for method in METHODS for taps in TAPS],
        "responses": [RESPONSE, "activation-both", "activation-both+response"],
        "weights": [DEFAULT, *(f"{DEFAULT}@weight={weight * factor:g}" for factor in FACTORS)],
        "losses": [f"{DEFAULT}@loss={loss}" for loss in TAP_LOSSES],
        "schedules": [f"{DEFAULT}@schedule={schedule}" for schedule in SCHEDULES],
        "epochs": [DEFAULT, *(f"{DEFAULT}@student.train.epochs={round(params.student.train.epochs * f) or 1}" for f in EPOCH_FACTORS)],
        "unlabelled": [f"{DEFAULT}@unlabelled=0", DEFAULT, PSEUDO],
        "published": list(PUBLISHED_METHODS),
        "published-weights": [f"{published}@weight={weight * factor:g}" for published in PUBLISHED_METHODS for factor in PUBLISHED_FACTORS],
    }
    everything = [name for group in ("grid", "responses", "losses", "weights", "schedules", "epochs", "published") for name in sweep[group]]
    return sweep | {"all": [DEFAULT, *everything]}


def parse(name: str) -> Variant:
    """The variant of that name.

    Raises:
        InputError: if it is none.
    """
    base, _, given = name.partition("@")
    changes = _changes(name, given)
    students = [change for change in changes if change.partition(".")[0] in STUDENTS]
    baseline = "@".join([BASELINE, ",".join(students)]) if students else BASELINE
    if base == BASELINE:
        if len(students) < len(changes):
            raise InputError("--variants", f"'{name}' has no teacher, so it lacks such a parameter", f"write {baseline}")
        return Variant(baseline, tuple(changes), is_baseline=True, baseline=baseline)
    if base in PUBLISHED_METHODS:
        own = ("distill.taps=[backbone, neck]", "distill.response=0", "distill.unlabelled=0", "info_maps.method=uniform")
        return Variant(_named(base, changes), (*own, *changes), published=base, baseline=baseline)
    if base == PSEUDO:
        return Variant(_named(base, changes), tuple(changes), published=base, baseline=baseline)
    return Variant(_named(base, changes), (*_base_changes(name, base), *changes), baseline=baseline)


def _base_changes(name: str, base: str) -> tuple[str, ...]:
    if base == DEFAULT:
        return ()
    if base == RESPONSE:
        return "distill.taps=[]", "distill.response=1"
    method, dash, taps = base.removesuffix("+response").partition("-")
    if not dash or method not in METHODS or taps not in TAPS:
        names = ", ".join((BASELINE, DEFAULT, RESPONSE, PSEUDO, *PUBLISHED_METHODS))
        known = f"{names}, or METHOD-TAPS of {', '.join(METHODS)} and {', '.join(TAPS)}"
        raise InputError("--variants", f"'{name}' is neither a variant nor a group", f"write {known}")
    response = int(base.endswith("+response"))
    return f"info_maps.method={method}", f"distill.taps={TAPS[taps]}", f"distill.response={response}"


def _changes(name: str, given: str) -> list[str]:
    """Changes with full names, sorted, so that their order makes no other variant."""
    changes = []
    for item in re.split(r",(?![^\[]*\])", given) if given else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        full = key if "." in key else f"distill.{'weight' if key == 'w' else key}"
        if not equals or full.partition(".")[0] not in SECTIONS:
            raise InputError(
                "--variants", f"'{item}' in '{name}' is not a change of a variant", f"write NAME=VALUE of {', '.join(SECTIONS)}"
            )
        changes.append(f"{full}={value}")
    return sorted(changes)


def _named(base: str, changes: Sequence[str]) -> str:
    return f"{base}@{','.join(change.removeprefix('distill.') for change in changes)}" if changes else base
