"""The state that the entries of a journal give."""

from components.register_model.journal_entries import Action, JournalEntry, find_rollback, reference_version, replay_entries

Move = tuple[Action, str, str]


def entries_of(*moves: Move) -> list[JournalEntry]:
    return [JournalEntry(*move, "somebody", "because", str(token)) for token, move in enumerate(moves)]


def champions(*moves: Move) -> tuple[str, ...]:
    return replay_entries(entries_of(*moves)).champions


FIRST: Move = ("promote", "", "1")
SECOND: Move = ("promote", "1", "2")


def test_a_move_is_valid_if_it_was_decided_against_the_champion() -> None:
    assert champions() == ()
    assert champions(FIRST, SECOND, ("force", "2", "3")) == ("1", "2", "3")
    state = replay_entries(entries_of(FIRST, SECOND, ("promote", "1", "3"), ("promote", "2", "4")))
    assert (state.champions, state.void) == (("1", "2", "4"), {"2"})


def test_of_two_first_champions_one_is_valid() -> None:
    assert champions(FIRST, ("promote", "", "2")) == ("1",)


def test_repeated_rollbacks_return_to_earlier_champions() -> None:
    back: Move = ("rollback", "3", "2")
    assert champions(FIRST, SECOND, ("promote", "2", "3"), back) == ("1", "2")
    assert champions(FIRST, SECOND, ("promote", "2", "3"), back, ("rollback", "2", "1")) == ("1",)
    assert champions(FIRST, SECOND, ("promote", "2", "3"), back, back) == ("1", "2"), "two people who roll back the same champion"
    assert champions(FIRST, SECOND, ("rollback", "2", "1"), ("promote", "1", "3"), ("rollback", "3", "1")) == ("1",)


def test_a_rollback_to_another_version_than_the_previous_champion_is_void() -> None:
    assert champions(FIRST, ("rollback", "1", "")) == ("1",)
    assert champions(FIRST, SECOND, ("promote", "2", "3"), ("rollback", "3", "1")) == ("1", "2", "3")


def test_a_version_can_become_champion_again() -> None:
    assert champions(FIRST, SECOND, ("force", "2", "1"), ("rollback", "1", "2"), ("rollback", "2", "1")) == ("1",)


def test_registrations_move_only_the_challenger() -> None:
    state = replay_entries(entries_of(("register", "", "1"), FIRST, ("register", "", "2")))
    assert (state.champion, state.challenger, state.void) == ("1", "2", frozenset())


def test_the_reference_version_is_the_champion_or_its_predecessor() -> None:
    entries = entries_of(FIRST, SECOND, ("promote", "1", "4"))
    assert reference_version([], "1") == ""
    assert reference_version(entries, "3") == "2"
    assert reference_version(entries, "2") == "1", "compared again after its promotion, with the same version as before"
    assert reference_version(entries, "4") == "2", "its promotion came too late"
    with_rollback = [*entries, *entries_of(("rollback", "2", "1"))]
    assert reference_version(with_rollback, "1") == ""


def test_a_version_stays_rolled_back_until_it_is_forced() -> None:
    entries = entries_of(FIRST, SECOND, ("rollback", "2", "1"))
    rollback = find_rollback(entries, "2")
    assert rollback and rollback.action == "rollback" and find_rollback(entries, "1") is find_rollback(entries, "3") is None
    assert find_rollback(entries_of(FIRST, SECOND, ("rollback", "2", "1"), ("force", "1", "2")), "2") is None
    assert find_rollback(entries_of(FIRST, SECOND, ("promote", "2", "3"), ("rollback", "2", "1")), "2") is None, "it came too late"
