"""What is doubtful about a dataset."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from kd.errors import InputError


@dataclass(frozen=True)
class Finding:
    """A kind of doubt about a dataset.

    Attributes:
        check: short name of the check.
        count: number of files, boxes or classes.
        problem: what is doubtful, in a sentence with the count.
        examples: at most three of them.
        remedy: what to do about it.
    """

    check: str
    count: int
    problem: str
    examples: list[str]
    remedy: str

    def __str__(self) -> str:
        examples = f" ({', '.join(self.examples)}{', ...' if self.count > len(self.examples) else ''})" if self.examples else ""
        return f"{self.problem}{examples}; {self.remedy}"


def find(check: str, names: Sequence[str], problem: str, remedy: str) -> list[Finding]:
    """A finding about `names`, none if there are none; `problem` is what follows their number."""
    return [Finding(check, len(names), f"{len(names)} {problem}", list(names[:3]), remedy)] if names else []


def print_findings(findings: Sequence[Finding]) -> None:
    """Print one line for each finding on stderr."""
    if findings:
        print("look at this:", file=sys.stderr)
    for finding in findings:
        print(f"  {finding}", file=sys.stderr)


def refuse_findings(findings: Sequence[Finding]) -> None:
    """Raise `InputError` if there is a finding: `data.strict`."""
    if findings:
        more = f" (and {len(findings) - 1} more kinds of doubt)" if len(findings) > 1 else ""
        raise InputError("data.strict", f"{findings[0].check}: {findings[0]}{more}", "correct the data, or set data.strict: false")
