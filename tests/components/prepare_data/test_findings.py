"""How doubts are shown, and refused."""

import pytest

from components.prepare_data.findings import counted, find, print_findings, refuse_findings
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
    with pytest.raises(InputError, match=r"data\.strict: x: 1 things are odd \(a\); look \(and 1 more kind of doubt\)"):
        refuse_findings(both)


def test_one_thing_is_singular():
    assert counted(2, "pictures are in several splits") == "2 pictures are in several splits"
    assert counted(1, "pictures occur more than once in their split") == "1 picture occurs more than once in its split"
    assert counted(1, "16-bit pictures have values below 4096 and are read") == "1 16-bit picture has values below 4096 and is read"
    assert counted(1, "pictures have no label file, so they count as empty") == "1 picture has no label file, so it counts as empty"
    assert counted(1, "pictures are not in the annotations; left out") == "1 picture is not in the annotations; left out"
    assert counted(1, "test split has fewer than 50 pictures") == "1 test split has fewer than 50 pictures"


def test_an_example_is_printed_in_one_short_line():
    (finding,) = find("x", ["a\nb", "c" * 5000, "d e" * 2000], "things are odd", "look")
    assert "a\\nb" in str(finding) and "\n" not in str(finding) and len(str(finding)) < 500
