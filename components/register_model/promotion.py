"""Register, promote and roll back versions of a model."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from components.params.models import Params
from components.register_model import version_card
from components.register_model.gate.rules import RuleResult
from components.register_model.gate.run_gate import PENDING, GateResult, load_version, run_gate
from components.register_model.journal import Journal
from components.register_model.journal_entries import Action, JournalState, find_rollback, reference_version
from components.register_model.move_notifications import decision_message, notify_of_move, send_pending
from components.register_model.notify import notify
from components.register_model.registry import Registry
from kd.errors import InputError
from kd.files import digest

SUPERSEDED = "the champion changed in the meantime; run again to compare with the new one"


class Promotion:
    """Changes of the champion and challenger of a registered model. Each first sets the aliases to the state of the journal."""

    def __init__(self, registry: Registry, notify_command: str = "") -> None:
        """Run the shell command `notify_command`, "" for none, after every decision."""
        self.registry, self.journal, self.notify_command = registry, Journal(registry), notify_command

    def sync_aliases(self) -> JournalState:
        """Set the aliases to the state of the journal, notify of moves that were interrupted before that, and return the state.

        Raises:
            InputError: if entries of the journal are missing.
        """
        state = self.journal.sync_aliases()
        if self.notify_command:
            send_pending(self.journal, self.notify_command)
        return state

    def settle(self, why: str) -> JournalState:
        """Like `sync_aliases`, but if entries are missing, the version with the alias stays the champion, for the reason `why`."""
        self.journal.settle(why)
        return self.sync_aliases()

    def register_challenger(
        self,
        file: Path,
        run_id: str,
        tags: Mapping[str, str],
        params: Params,
        data: Path,
        files: Mapping[str, Path] | None = None,
    ) -> tuple[GateResult, bool]:
        """Register an ONNX file as the challenger, run the gate, and make it the champion if it passes.

        If it was interrupted, or is called again with the same arguments, it gives the same result.

        Args:
            file: the ONNX file.
            run_id: the run that stores the files.
            tags: the lineage of the model.
            params: the rules of the gate.
            data: prepared data with a test split.
            files: other files of the version by name, see `Registry.register`.

        Returns:
            The gate result, and False if the version passed but another one became the champion in the meantime.

        Raises:
            InputError: if the champion cannot be loaded (nothing is registered then), or the registry fails.
        """
        state = self.sync_aliases()
        existing = self.registry.versions(digest(file))
        compared_with = reference_version(self.journal.entries(), existing[0].number if existing else "")
        if compared_with:
            load_version(self.registry, compared_with)
        number = self.registry.register(file, run_id, tags, files)
        if state.challenger != number:
            self.journal.append("register", state.champion, number, "registered")
        gate_result = self.run_gate(number, params, data)
        return gate_result, self.promote(gate_result)

    def run_gate(self, number: str, params: Params, data: Path, relaxed: str = "") -> GateResult:
        """Compare a version with the champion, or the champion with its predecessor, and save the result with the version.

        A version that was rolled back does not pass, because the next scheduled run of the same content would undo the rollback.

        Args:
            number: the version.
            params: the rules of the gate.
            data: prepared data with a test split.
            relaxed: the limits that were relaxed on the command line, and why, for the record; "" for none.
        """
        champion = self.sync_aliases().champion
        entries = self.journal.entries()
        gate_result = run_gate(self.registry, self.registry.version(number), reference_version(entries, number), params, data)
        if rollback := find_rollback(entries, number):
            remedy = f"only `kdflow registry promote {number} --force` makes it the champion again"
            result = RuleResult("rolled_back", False, f"{rollback.who} rolled it back ({rollback.why}); {remedy}")
            gate_result = gate_result._replace(rule_results=[*gate_result.rule_results, result])
        needs_approval = params.register_model.gate.approval == "manual" and number != champion
        gate_result = gate_result._replace(needs_approval=needs_approval, relaxed=relaxed)
        self._save_result(gate_result)
        return gate_result

    def promote(self, gate_result: GateResult) -> bool:
        """Make a version the champion if it passed the gate and needs no approval.

        Returns False if it passed, but another version became the champion in the meantime.
        """
        reference, number, why = gate_result.reference_version, gate_result.version, "; ".join(gate_result.reasons)
        if gate_result.decision != "promote":
            if self.notify_command:
                notify(self.notify_command, decision_message(gate_result.decision, self.registry.name, number, reference, why))
        elif self.sync_aliases().champion != number:
            return self._move("promote", reference, number, why)
        return True

    def approve(self, number: str, why: str) -> bool:
        """Make a version the champion that passed the gate and waits. Returns False if the champion changed in the meantime.

        An approval that was interrupted is completed when it is repeated.

        Raises:
            InputError: if the version does not wait, was compared with another champion, was rolled back, or cannot be loaded.
        """
        version, state = self.registry.version(number), self.sync_aliases()
        name, run_again = f"{self.registry.name} version {number}", f"`kdflow registry promote {number}` runs the gate"
        if (decision := version.tags.get(version_card.GATE_TAG, "not run")) != PENDING:
            raise InputError(name, f"does not wait for an approval (gate: {decision})", run_again)
        previous = version.tags[version_card.PREVIOUS_TAG]
        if state.champion != number:
            if previous != state.champion:
                problem = f"was compared with version {previous or 'none'}, but the champion is version {state.champion or 'none'}"
                raise InputError(name, problem, run_again)
            if rollback := find_rollback(self.journal.entries(), number):
                raise InputError(name, f"was rolled back by {rollback.who} ({rollback.why})", f"{run_again} or, with --force, does not")
            load_version(self.registry, number)
            reasons = version.tags[version_card.REASONS_TAG].replace("\n", "; ")
            if not self._move("promote", previous, number, f"approved: {why}; {reasons}"):
                return False
        self.registry.set_tags(number, {version_card.GATE_TAG: "promote"})
        return True

    def force(self, number: str, why: str) -> bool:
        """Make a version the champion without the gate. Returns False if the champion changed in the meantime."""
        version, state = self.registry.version(number), self.sync_aliases()
        if state.champion == number:
            raise InputError(f"{self.registry.name} version {number}", "is the champion already", "choose another version")
        load_version(self.registry, number)
        return self._move("force", state.champion, version.number, why)

    def rollback(self, why: str, number: str = "") -> bool:
        """Make the previous champion the champion again. Returns False if the champion changed in the meantime.

        A rollback that was interrupted after its journal entry is completed, not repeated.

        Args:
            why: the reason, for the history.
            number: the version to roll back. If it is not the champion, nothing changes, so that the command can be repeated;
                "" for the current champion.

        Raises:
            InputError: if there is no previous champion, or it cannot be loaded.
        """
        if self.journal.pending_action() == "rollback":
            self.sync_aliases()
            return True
        state = self.sync_aliases()
        if number and number != state.champion:
            return True
        if len(state.champions) < 2:
            problem = f"version {state.champion} was the first champion" if state.champion else "there is no champion"
            raise InputError(self.registry.name, f"nothing to roll back to: {problem}", "`kdflow registry history` shows every move")
        previous, champion = state.champions[-2:]
        load_version(self.registry, previous)
        return self._move("rollback", champion, previous, why)

    def _save_result(self, gate_result: GateResult) -> None:
        version = self.registry.version(gate_result.version)
        with TemporaryDirectory() as folder:
            picture = Path(folder) / version_card.PICTURE_FILE
            version_card.save_picture(gate_result, picture)
            self.registry.log_artifact(version, picture, version_card.ARTIFACT_PATH)
        self.registry.set_tags(version.number, version_card.gate_tags(gate_result), version_card.description(gate_result, version))

    def _move(self, action: Action, previous: str, version: str, why: str) -> bool:
        entry = self.journal.append(action, previous, version, why, notify=bool(self.notify_command))
        if entry and self.notify_command:
            notify_of_move(self.journal, self.notify_command, entry)
        return entry is not None
