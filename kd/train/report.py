"""What a person sees of a training: one bar over all of it, with the losses of the moment."""

from torch import Tensor

from kd.progress import Progress


class EpochReport:
    """A progress bar over `epochs` of `steps` batches; silent in processes that do not lead."""

    def __init__(self, title: str, epochs: int, steps: int, batch: int, begun: int, leads: bool) -> None:
        self.epochs, self.batch = epochs, batch
        left = (epochs - begun) * steps * batch
        self.progress = Progress(title, left, "pictures") if leads and left else None
        if self.progress and begun:
            self.say(f"{title}: going on after epoch {begun} of {epochs}")

    def step(self, epoch: int, terms: dict[str, Tensor]) -> None:
        """Count one batch."""
        if self.progress:
            self.progress.advance(self.batch, lambda: f"epoch {epoch + 1}/{self.epochs}  " + _losses(terms))

    def say(self, line: str) -> None:
        """Print a line of its own, above the bar."""
        if self.progress:
            self.progress.say(line)

    def close(self) -> None:
        """End the bar."""
        if self.progress:
            self.progress.close()


def _losses(terms: dict[str, Tensor]) -> str:
    return "  ".join(f"{name.removeprefix('distill_')} {float(term):.2f}" for name, term in terms.items())
