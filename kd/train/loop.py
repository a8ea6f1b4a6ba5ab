"""The training loop, one for teacher, baseline and student."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from kd.data.loader import Batch, EpochBatches
from kd.model.build import Network
from kd.train.checkpoint import load_checkpoint, save_checkpoint
from kd.train.ema import Average
from kd.train.group import Group
from kd.train.guard import too_hard
from kd.train.objective import Objective, gradient_ratio
from kd.train.report import EpochReport
from kd.train.schedule import rate_at

Row = dict[str, float]


class TrainingDiverged(Exception):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class Training:
    """How to train; see the sections `train` of `params.yaml`."""

    epochs: int
    batch: int = 16
    optimiser: str = "adamw"
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 2.0
    ema_decay: float = 0.998
    clip_norm: float = 10.0
    evaluate_every: int = 5
    precision: str = "auto"
    workers: int = 0


@dataclass
class Trainer:
    """One training and where it stands.

    Args:
        objective: the network and its losses, on `group.device`.
        loader: training batches.
        batches: the loader's sampler, told the epoch before each pass.
        training: the settings.
        group: the processes of this training.
        checkpoint: file that keeps the state after every epoch; a training that finds it goes on from there.
        score: scores the averaged network, as a row of metrics.
        on_epoch: told each finished epoch's row.
        title: what the progress bar calls it.
    """

    objective: Objective
    loader: DataLoader[Batch]
    batches: EpochBatches
    training: Training
    group: Group
    checkpoint: Path
    score: Callable[[nn.Module], Row] = lambda network: {}
    on_epoch: Callable[[Row], None] = lambda row: None
    title: str = "train"
    history: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.objective.to(memory_format=torch.channels_last)
        self.wrapped = self.group.wrap(self.objective)
        self.average = Average(self.objective.network, self.training.ema_decay)
        self.optimiser = build_optimiser(self.objective, self.training)

    def run(self) -> Network:
        """Train to the last epoch and return the averaged network, in evaluation mode.

        Raises:
            TrainingDiverged: if a loss is not finite.
            InputError: if a checkpoint cannot be written, or the one that is there is broken.
        """
        self._resume()
        report = EpochReport(self.title, self.training.epochs, len(self.batches), self.batches.batch, len(self.history), self.group.leads)
        for epoch in range(len(self.history), self.training.epochs):
            row = {"epoch": epoch + 1.0, **self._epoch(epoch, report)}
            if self.group.leads:
                if (epoch + 1) % self.training.evaluate_every == 0 or epoch + 1 == self.training.epochs:
                    row |= self.score(self.average.network)
                self.history.append(row)
                self._save()
                if too_hard(self.history):
                    report.say(f"warning: distillation pulls {row['gradient_ratio']:.0f} times as hard as detection; lower distill.weight")
                self.on_epoch(row)
            else:
                self.history.append(row)
            self.group.wait()
        report.close()
        return self.average.network

    def _epoch(self, epoch: int, report: EpochReport) -> Row:
        """One pass; the mean of each term over it."""
        self.objective.train()
        self.batches.epoch = epoch
        steps = len(self.batches)
        totals: dict[str, Tensor] = {}
        ratio: Row = {}
        for index, batch in enumerate(self.loader):
            done = epoch * steps + index
            terms, measured = self._step(batch.to(self.group.device), done, first=index == 0)
            ratio |= measured
            for name, term in terms.items():
                totals[name] = totals.get(name, torch.zeros_like(term)) + term
            report.step(epoch, terms)
        return {name: float(total / steps) for name, total in totals.items()} | ratio

    def _step(self, batch: Batch, done: int, first: bool) -> tuple[dict[str, Tensor], Row]:
        """Update the weights once, after `done` steps."""
        steps = self.training.epochs * len(self.batches)
        factor = rate_at(done, steps, round(self.training.warmup_epochs * len(self.batches)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.training.lr * factor
        detection, taught = self.wrapped(batch, done / steps)
        ratio = {"gradient_ratio": gradient_ratio(self.objective.network, detection, taught)} if first and taught else {}
        terms = detection | taught
        loss = torch.stack(list(terms.values())).sum()
        self._check(loss, terms, done)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.objective.parameters(), self.training.clip_norm)
        self.optimiser.step()
        self.average.follow(self.objective.network, done + 1)
        return {name: term.detach() for name, term in terms.items()}, ratio

    def _check(self, loss: Tensor, terms: dict[str, Tensor], done: int) -> None:
        if not torch.isfinite(loss):
            epoch, step = divmod(done, len(self.batches))
            values = ", ".join(f"{name} {term.item():.3g}" for name, term in terms.items())
            raise TrainingDiverged(f"the loss is not finite in epoch {epoch + 1}, step {step + 1} ({values})")

    def _save(self) -> None:
        state = {
            "objective": self.objective.state_dict(),
            "average": self.average.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": self.history,
        }
        save_checkpoint(self.checkpoint, state)

    def _resume(self) -> None:
        state = load_checkpoint(self.checkpoint)
        if state is not None:
            self.objective.load_state_dict(state["objective"])
            self.average.network.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.history = state["history"]


def build_optimiser(module: nn.Module, training: Training) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum; only convolution kernels decay."""
    kernels = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": training.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if training.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=training.lr, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=training.lr, fused=True)
