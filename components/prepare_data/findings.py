"""What is doubtful about a dataset."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from kd.errors import InputError, printable

SINGULAR = {
    "pictures": "picture",
    "label files": "label file",
    "boxes": "box",
    "classes": "class",
    "files": "file",
    "folders": "folder",
    "lists": "list",
    "annotations": "annotation",
    "splits": "split",
    "paths": "path",
}
"""Nouns that messages about several things start with."""
VERBS = {"are": "is", "have": "has", "were": "was", "occur": "occurs", "they count": "it counts", "their": "its"}
"""What changes with such a noun; the first of each."""
MAX_EXAMPLE = 200
"""Characters of an example that are printed."""


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
        short = [example if len(example) <= MAX_EXAMPLE else f"{example[:MAX_EXAMPLE]}..." for example in self.examples]
        examples = f" ({', '.join(short)}{', ...' if self.count > len(short) else ''})" if short else ""
        return printable(f"{self.problem}{examples}; {self.remedy}")


def counted(count: int, text: str) -> str:
    """`count` and `text`, a phrase in the plural, which becomes singular for 1: "1 box is narrow" for "boxes are narrow"."""
    subject = re.match(rf"([\w-]+ )?({'|'.join(SINGULAR)})\b", text)
    if count == 1 and subject:
        text = (subject[1] or "") + SINGULAR[subject[2]] + text[subject.end() :]
        for plural, singular in VERBS.items():
            text = re.sub(rf"\b{plural}\b", singular, text, count=1)
    return f"{count} {text}"


def find(check: str, names: Sequence[str], problem: str, remedy: str) -> list[Finding]:
    """A finding about `names`, none if there are none; `problem` is what follows their number."""
    return [Finding(check, len(names), counted(len(names), problem), list(names[:3]), remedy)] if names else []


def print_findings(findings: Sequence[Finding]) -> None:
    """Print one line for each finding on stderr."""
    if findings:
        print("look at this:", file=sys.stderr)
    for finding in findings:
        print(f"  {finding}", file=sys.stderr)


def refuse_findings(findings: Sequence[Finding]) -> None:
    """Raise `InputError` if there is a finding: `data.strict`."""
    if findings:
        more = f" (and {len(findings) - 1} more kind{'s' if len(findings) > 2 else ''} of doubt)" if len(findings) > 1 else ""
        raise InputError("data.strict", f"{findings[0].check}: {findings[0]}{more}", "correct the data, or set data.strict: false")
