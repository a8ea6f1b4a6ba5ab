"""The aliases are set to the state of the journal, whatever happened before."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.register_model.journal import Journal
from components.register_model.journal_entries import replay_entries
from components.register_model.registry import Registry
from components.runtime.store import tracking_uri
from kd.errors import InputError
from tests.components.stores import new_store


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """The journal of a model with three versions."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    registry = Registry("m")
    registry.create_model("m")
    for _ in range(3):
        registry.client.create_model_version("m", "runs:/0/model")
    return Journal(registry)


def aliases() -> dict[str, str]:
    return {alias: str(version) for alias, version in MlflowClient(tracking_uri()).get_registered_model("m").aliases.items()}


def test_aliases_are_set_to_the_state_of_the_journal(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDFLOW_USER", "Ada")
    assert journal.append("register", "", "1", "new")
    assert journal.append("promote", "", "1", "the first")
    assert not journal.append("promote", "", "2", "too late")
    assert journal.append("force", "1", "3", "urgent")
    assert aliases() == {"challenger": "1", "champion": "3"}
    entries = journal.entries()
    assert [(e.action, e.previous, e.version, e.who, e.why) for e in entries] == [
        ("register", "", "1", "Ada", "new"),
        ("promote", "", "1", "Ada", "the first"),
        ("promote", "", "2", "Ada", "too late"),
        ("force", "1", "3", "Ada", "urgent"),
    ]
    assert sorted(e.when for e in entries) == [e.when for e in entries] and entries[0].when > 1.7e12
    assert journal.sync_aliases().void == {entries[2].token}


def test_a_champion_from_before_the_journal_is_adopted(journal: Journal) -> None:
    journal.registry.client.set_registered_model_alias("m", "champion", "2")
    assert journal.sync_aliases().champions == ("2",)
    assert [(e.action, e.version) for e in journal.entries()] == [("adopt", "2")]
    assert journal.append("promote", "2", "3", "better")
    assert aliases()["champion"] == "3"


def test_an_alias_set_by_hand_is_set_back_with_a_message(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    journal.append("promote", "", "1", "the first")
    journal.registry.client.set_registered_model_alias("m", "champion", "3")
    journal.sync_aliases()
    assert aliases()["champion"] == "1"
    assert capsys.readouterr().err == "m: @champion was version 3, set back to 1 as in the journal\n"
    journal.registry.client.delete_registered_model_alias("m", "champion")
    journal.sync_aliases()
    assert aliases()["champion"] == "1"


def test_a_slow_writer_corrects_the_alias(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading the journal and setting the alias, another process does both."""
    journal.append("promote", "", "1", "the first")
    other, set_alias, late = Journal(Registry("m")), Journal._set_alias, []

    def interrupted(self: Journal, alias: str, version: str) -> None:
        if self is journal and not late:
            late.append(version)
            other.append("promote", "2", "3", "faster")
            self.registry.client.set_registered_model_alias("m", alias, version)
        set_alias(self, alias, version)

    monkeypatch.setattr(Journal, "_set_alias", interrupted)
    assert journal.append("promote", "1", "2", "slow")
    assert late == ["2"] and aliases()["champion"] == "3"


def test_a_retried_request_is_one_entry(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Journal._write
    monkeypatch.setattr(Journal, "_write", lambda self, entry: (write(self, entry), write(self, entry)))
    assert journal.append("promote", "", "1", "the first")
    assert len(journal.entries()) == 1 and replay_entries(journal.entries()).void == frozenset()


def test_a_deleted_champion_does_not_prevent_a_move_to_another_version(journal: Journal) -> None:
    journal.append("promote", "", "1", "the first")
    journal.append("promote", "1", "2", "better")
    journal.registry.client.delete_model_version("m", "2")
    assert journal.sync_aliases().champion == "2" and aliases() == {}
    assert journal.append("rollback", "2", "1", "deleted")
    assert aliases()["champion"] == "1"


def test_a_version_that_is_not_a_journal_entry_is_reported_and_ignored(journal: Journal) -> None:
    journal.append("promote", "", "1", "the first")
    journal.registry.client.create_model_version("m.journal", "models:/m/1")
    assert journal.find_problems() == ["entry 2 of m.journal is not from kdflow and is ignored"]
    assert journal.append("promote", "1", "2", "better") and journal.missing_numbers() == []


@pytest.mark.parametrize("deleted", ["2", "3"])
def test_a_deleted_entry_stops_every_move_until_it_is_accepted(journal: Journal, deleted: str) -> None:
    for previous, version in (("", "1"), ("1", "2"), ("2", "3")):
        journal.append("promote", previous, version, "better")
    journal.registry.client.delete_model_version("m.journal", deleted)
    problem = f"entry {deleted} is missing in m.journal"
    assert [line.startswith(f"{problem}; `kdflow registry settle --reason") for line in journal.find_problems()] == [True]
    with pytest.raises(InputError, match=f"m: {problem}, so nothing is changed; `kdflow registry settle"):
        journal.sync_aliases()
    assert aliases() == {"champion": "3"}, "a deletion does not move the champion"
    assert journal.settle("deleted by mistake").champion == "3" and aliases() == {"champion": "3"}
    assert journal.missing_numbers() == [] and journal.find_problems() == []
    assert journal.append("promote", "3", "1", "best") and aliases()["champion"] == "1"


def test_settling_changes_only_aliases_unless_entries_are_missing(journal: Journal) -> None:
    journal.append("promote", "", "1", "the first")
    journal.append("register", "1", "2", "new")
    journal.registry.client.set_registered_model_alias("m", "champion", "3")
    journal.registry.client.delete_registered_model_alias("m", "challenger")
    assert journal.find_problems() == [
        "@champion of m is version 3, but version 1 in the journal; `kdflow registry settle` sets it",
        "@challenger of m is not set, but version 2 in the journal; `kdflow registry settle` sets it",
    ]
    journal.settle("")
    assert aliases() == {"champion": "1", "challenger": "2"} and len(journal.entries()) == 2 and journal.find_problems() == []
    journal.registry.client.delete_model_version("m.journal", "2")
    assert journal.settle("").champion == "1" and journal.entries()[-1].missing == "2"


def test_entries_are_read_beyond_one_page(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    search = journal.registry.client.search_model_versions
    monkeypatch.setattr(journal.registry.client, "search_model_versions", lambda *a, **k: search(*a, **{**k, "max_results": 2}))
    for number in range(5):
        journal.append("register", "", str(1 + number % 3), str(number))
    assert [entry.why for entry in journal.entries()] == ["0", "1", "2", "3", "4"]


def test_an_entry_that_another_process_appends_meanwhile_is_not_missing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.append("promote", "", "1", "first")
    search, appended = Registry.search, []

    def search_then_append(registry: Registry, name: str, tags: dict[str, str]) -> object:
        found = search(registry, name, tags)
        if not appended:
            appended.append(True)
            Journal(Registry("m")).append("promote", "1", "2", "better")
        return found

    monkeypatch.setattr(Registry, "search", search_then_append)
    assert journal.missing_numbers() == [] and appended
