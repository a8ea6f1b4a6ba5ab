"""Types of numbers on a command line."""

import argparse
from collections.abc import Callable
from typing import TypeVar

N = TypeVar("N", int, float)


def number_type(kind: type[N], is_valid: Callable[[N], bool], rule: str) -> Callable[[str], N]:
    """A type for argparse: a number that `is_valid` accepts; `rule` completes "must be"."""

    def parse(text: str) -> N:
        value = kind(text)
        if not is_valid(value):
            raise argparse.ArgumentTypeError(f"must be {rule}")
        return value

    parse.__name__ = kind.__name__  # argparse names it in messages
    return parse


count = number_type(int, lambda value: value >= 1, "at least 1")
