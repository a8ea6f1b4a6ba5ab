"""The moves that people and pipelines make: judge, promote, roll back."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from components.params.models import Params
from components.register_model import notify, version_card
from components.register_model.gate.rules import RuleResult
from components.register_model.gate.run_gate import GateResult, check_loadable, run_gate
from components.register_model.journal import Action, Journal, reference_version, rolled_back
from components.register_model.registry import Registry
from kd.errors import InputError
from kd.files import digest

SUPERSEDED = "another move of the champion was faster; run again to be judged against the new one"


class Promotion:
    """The moves on one registered model. Each begins by letting the aliases be what the journal says."""

    def __init__(self, registry: Registry, command: str = "") -> None:
        """Work on `registry`, and tell the shell command `command`, "" for none, of every decision."""
        self.registry, self.journal, self.command = registry, Journal(registry), command

    def register_and_judge(self, exported: Path, run_id: str, tags: Mapping[str, str], params: Params, data: Path) -> tuple[GateResult, bool]:
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
        state = self.journal.sync_aliases()
        found = self.registry.versions(digest(exported))
        against = reference_version(self.journal.entries(), found[0].number if found else "")
        if against:
            check_loadable(self.registry, against)
        number = self.registry.register(exported, run_id, tags)
        if state.challenger != number:
            self.journal.append("register", state.champion, number, "registered")
        gate_result = self.judge(number, params, data)
        return gate_result, self.promote(gate_result)

    def judge(self, number: str, params: Params, data: Path) -> GateResult:
        """Judge a version against the champion, or the champion against its predecessor, and write that down with the version.

        One that a person took back does not pass: else the next scheduled run of the same content would undo the rollback.
        """
        self.journal.sync_aliases()
        entries = self.journal.entries()
        gate_result = run_gate(self.registry, self.registry.version(number), reference_version(entries, number), params, data)
        if back := rolled_back(entries, number):
            reason = f"{back.who} took it back ({back.why}); only `kdflow promote {number} --force` makes it the champion again"
            gate_result = gate_result._replace(rule_results=[*gate_result.rule_results, RuleResult("rolled_back", False, reason)])
        self._record(gate_result)
        return gate_result

    def promote(self, gate_result: GateResult) -> bool:
        """Make the version of a judgement the champion, if it passed; False if another one became it in the meantime."""
        moved = True
        if gate_result.passed and self.journal.sync_aliases().champion != gate_result.version:
            moved = self._move("promote", gate_result.reference_version, gate_result.version, "; ".join(gate_result.reasons))
        elif not gate_result.passed:
            self._tell("reject", gate_result.reference_version, gate_result.version, "; ".join(gate_result.reasons))
        return moved

    def force(self, number: str, why: str) -> bool:
        """Make a version the champion past the gate; False if another move was faster."""
        version, state = self.registry.version(number), self.journal.sync_aliases()
        if state.champion == number:
            raise InputError(f"{self.registry.name} version {number}", "is the champion already", "choose another version")
        check_loadable(self.registry, number)
        return self._move("force", state.champion, version.number, why)

    def rollback(self, why: str, rolled_back: str = "") -> bool:
        """Make the champion before this one the champion again; False if another move was faster.

        One that was cut off after it had been written down is finished, and not done a second time.

        Args:
            why: for the history.
            rolled_back: the version that should no longer be the champion. If it is not, nothing moves, so that a command that
                names it can be repeated; "" takes back any.

        Raises:
            InputError: if there is none before, or it cannot be loaded.
        """
        if self.journal.pending_action() == "rollback":
            self.journal.sync_aliases()
            return True
        state = self.journal.sync_aliases()
        if rolled_back and rolled_back != state.champion:
            return True
        if len(state.champions) < 2:
            problem = f"version {state.champion} was the first champion" if state.champion else "there is no champion"
            raise InputError(self.registry.name, f"nothing to roll back to: {problem}", "`kdflow history` shows every move")
        champion, back = state.champions[-1], state.champions[-2]
        check_loadable(self.registry, back)
        return self._move("rollback", champion, back, why)

    def _record(self, gate_result: GateResult) -> None:
        version = self.registry.version(gate_result.version)
        with TemporaryDirectory() as folder:
            file = Path(folder) / version_card.PICTURE
            version_card.picture(gate_result, file)
            self.registry.keep(version, file, version_card.PLACE)
        self.registry.tag(gate_result.version, version_card.tags(gate_result), version_card.description(gate_result, version))

    def _move(self, action: Action, previous: str, version: str, why: str) -> bool:
        moved = self.journal.append(action, previous, version, why)
        if moved:
            self._tell(action, previous, version, why)
        return moved

    def _tell(self, event: str, previous: str, version: str, why: str) -> None:
        if self.command:
            message = {"event": event, "model": self.registry.name, "version": version, "previous": previous, "why": why}
            notify.tell(self.command, message)
