"""The table of operators of the losses."""

import pytest

from benchmarks.loss_ops import assess, main
from benchmarks.operators import OperatorCalls
from tests.benchmarks.conftest import ROOT


def test_each_loss_has_as_many_operators_in_any_batch(capsys: pytest.CaptureFixture) -> None:
    main(["--params", str(ROOT / "params.yaml"), "--batches", "2", "5", "--size", "64"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["detection", "response", "distillation"]
    assert all(0 < int(row[1]) == int(row[2]) for row in rows) and "MISSED" not in str(rows)
    assert int(rows[2][1]) > int(rows[1][1]), "the distillation includes the response"


def test_what_is_missed_is_named() -> None:
    few, many = OperatorCalls(10, []), OperatorCalls(400, ["aten::item", "aten::nonzero", "aten::item"])
    assert assess("detection", [few, few]) == "equal at each batch reached; at most 300 reached; none waits reached"
    assert assess("detection", [few, many]) == "equal at each batch MISSED; at most 300 MISSED; none waits aten::item aten::nonzero MISSED"
    assert assess("response", [many._replace(waiting=[])] * 2) == "equal at each batch reached; none waits reached"
