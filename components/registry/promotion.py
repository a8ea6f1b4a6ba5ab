"""The moves that people and pipelines make: judge, promote, roll back."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from components import notify
from components.gate.judgement import Judgement, check_loads, judgement
from components.gate.rules import Verdict
from components.params import Params
from components.registry import card
from components.registry.journal import Action, Journal, opponent, taken_back
from components.registry.store import Registry
from kd.errors import InputError
from kd.files import digest

FASTER = "another move of the champion was faster; run again to be judged against the new one"


class Promotion:
    """The moves on one registered model. Each begins by letting the aliases be what the journal says."""

    def __init__(self, registry: Registry, command: str = "") -> None:
        """Work on `registry`, and tell the shell command `command`, "" for none, of every decision."""
        self.registry, self.journal, self.command = registry, Journal(registry), command

    def deliver(self, exported: Path, run_id: str, tags: Mapping[str, str], params: Params, data: Path) -> tuple[Judgement, bool]:
        """Register an ONNX file as the challenger, judge it, and make it the champion if it passes.

        Done again, after it was cut off or not, it comes to the same end.

        Args:
            exported: the file.
            run_id: the run that keeps it.
            tags: what it was made of.
            params: the rules.
            data: prepared data with a test split.

        Returns:
            The judgement, and False if the version passed but another one became the champion in the meantime.

        Raises:
            InputError: if the champion cannot be loaded (nothing is registered then), or the registry fails.
        """
        state = self.journal.settle()
        found = self.registry.versions(digest(exported))
        against = opponent(self.journal.entries(), found[0].number if found else "")
        if against:
            check_loads(self.registry, against)
        number = self.registry.register(exported, run_id, tags)
        if state.challenger != number:
            self.journal.append("register", state.champion, number, "registered")
        judged = self.judge(number, params, data)
        return judged, self.promote(judged)

    def judge(self, number: str, params: Params, data: Path) -> Judgement:
        """Judge a version against the champion, or the champion against its predecessor, and write that down with the version.

        One that a person took back does not pass: else the next scheduled run of the same content would undo the rollback.
        """
        self.journal.settle()
        entries = self.journal.entries()
        judged = judgement(self.registry, self.registry.version(number), opponent(entries, number), params, data)
        if back := taken_back(entries, number):
            reason = f"{back.who} took it back ({back.why}); only `kdflow promote {number} --force` makes it the champion again"
            judged = judged._replace(verdicts=[*judged.verdicts, Verdict("taken_back", False, reason)])
        self._record(judged)
        return judged

    def promote(self, judged: Judgement) -> bool:
        """Make the version of a judgement the champion, if it passed; False if another one became it in the meantime."""
        moved = True
        if judged.passed and self.journal.settle().champion != judged.version:
            moved = self._move("promote", judged.opponent, judged.version, "; ".join(judged.reasons))
        elif not judged.passed:
            self._tell("reject", judged.opponent, judged.version, "; ".join(judged.reasons))
        return moved

    def force(self, number: str, why: str) -> bool:
        """Make a version the champion past the gate; False if another move was faster."""
        version, state = self.registry.version(number), self.journal.settle()
        if state.champion == number:
            raise InputError(f"{self.registry.name} version {number}", "is the champion already", "choose another version")
        check_loads(self.registry, number)
        return self._move("force", state.champion, version.number, why)

    def rollback(self, why: str, taken_back: str = "") -> bool:
        """Make the champion before this one the champion again; False if another move was faster.

        One that was cut off after it had been written down is finished, and not done a second time.

        Args:
            why: for the history.
            taken_back: the version that should no longer be the champion. If it is not, nothing moves, so that a command that
                names it can be repeated; "" takes back any.

        Raises:
            InputError: if there is none before, or it cannot be loaded.
        """
        if self.journal.unfinished() == "rollback":
            self.journal.settle()
            return True
        state = self.journal.settle()
        if taken_back and taken_back != state.champion:
            return True
        if len(state.reign) < 2:
            problem = f"version {state.champion} was the first champion" if state.champion else "there is no champion"
            raise InputError(self.registry.name, f"nothing to roll back to: {problem}", "`kdflow history` shows every move")
        champion, back = state.reign[-1], state.reign[-2]
        check_loads(self.registry, back)
        return self._move("rollback", champion, back, why)

    def _record(self, judged: Judgement) -> None:
        version = self.registry.version(judged.version)
        with TemporaryDirectory() as folder:
            file = Path(folder) / card.PICTURE
            card.picture(judged, file)
            self.registry.keep(version, file, card.PLACE)
        self.registry.tag(judged.version, card.tags(judged), card.description(judged, version))

    def _move(self, action: Action, previous: str, version: str, why: str) -> bool:
        moved = self.journal.append(action, previous, version, why)
        if moved:
            self._tell(action, previous, version, why)
        return moved

    def _tell(self, event: str, previous: str, version: str, why: str) -> None:
        if self.command:
            message = {"event": event, "model": self.registry.name, "version": version, "previous": previous, "why": why}
            notify.tell(self.command, message)
