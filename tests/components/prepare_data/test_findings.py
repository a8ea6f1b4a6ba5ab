"""How doubts are shown, and refused."""

import pytest

from components.prepare_data.findings import find, print_findings, refuse_findings
from kd.errors import InputError


def test_a_finding_has_a_count_three_examples_and_a_remedy():
    assert find("x", [], "things are odd", "look") == []
    (finding,) = find("x", ["a", "b", "c", "d"], "things are odd", "look")
    assert finding.count == 4 and str(finding) == "4 things are odd (a, b, c, ...); look"


def test_findings_are_printed_below_a_heading(capsys):
    print_findings([])
    assert capsys.readouterr().err == ""
    print_findings(find("x", ["a"], "things are odd", "look"))
    assert capsys.readouterr().err == "look at this:\n  1 things are odd (a); look\n"


def test_refused_findings_name_the_check():
    refuse_findings([])
    both = [*find("x", ["a"], "things are odd", "look"), *find("y", ["b"], "more", "look")]
    with pytest.raises(InputError, match=r"data\.strict: x: 1 things are odd \(a\); look \(and 1 more kinds of doubt\)"):
        refuse_findings(both)
