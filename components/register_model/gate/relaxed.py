"""Which limits of the gate are relaxed on the command line. They are recorded with the promotion that they made possible."""

from typing import Any

from components.params.models import RegisterModel

LOWER_IS_RELAXED = ("min_", "confidence", "comparisons", "resamples", "seed_std")
HIGHER_IS_RELAXED = ("max_", "tolerance")
"""How names of limits start. Any change of another setting of the gate counts as relaxed, except to a manual approval."""


def relaxed_limits(before: RegisterModel, after: RegisterModel) -> list[str]:
    """The settings of the gate that are less strict in `after`, such as "min_map 0.0 instead of 0.05"."""
    strict, loose = (section.gate.flat() | {"tolerance": section.tolerance} for section in (before, after))
    return [f"{name} {loose[name]} instead of {value}" for name, value in strict.items() if _is_relaxed(name, value, loose[name])]


def _is_relaxed(name: str, before: Any, after: Any) -> bool:
    if name.startswith(LOWER_IS_RELAXED):
        return bool(after < before)
    if name.startswith(HIGHER_IS_RELAXED):
        return bool(after > before)
    return bool(after not in (before, "manual"))
