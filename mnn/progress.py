"""Progress of a training: a bar with the remaining time on a terminal, plain lines at intervals in a log."""

import sys
import time

INTERVAL = 15.0
"""Seconds between two lines in a log."""


class Progress:
    """A context manager that reports every epoch.

    Parameters
    ----------
    training : mnn.training.Training
    resumed : bool
        Whether it goes on from a checkpoint.
    """

    def __init__(self, training, resumed: bool):
        self.training, self.resumed = training, resumed
        self.bar = None
        self.due = time.monotonic()

    def __enter__(self) -> "Progress":
        if self.resumed:
            print(f"resumed at epoch {self.training.epoch} of {self.training.plan.epochs}", flush=True)
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=self.training.plan.epochs, initial=self.training.epoch, unit="epoch")
        return self

    def __exit__(self, *exception) -> None:
        if self.bar is not None:
            self.bar.close()

    def after_epoch(self, training) -> None:
        """Report the epoch just done."""
        row = training.history[-1]
        error = sorted(row["validation_error"])[len(row["validation_error"]) // 2]
        if self.bar is not None:
            self.bar.update(training.epoch - self.bar.n)
            self.bar.set_postfix_str(f"validation error {error:.2e}")
        elif time.monotonic() >= self.due or training.finished:
            left = training.seconds / training.epoch * (training.plan.epochs - training.epoch)
            print(
                f"epoch {training.epoch}/{training.plan.epochs}  loss {sum(row['loss']) / len(row['loss']):.2e}  "
                f"validation error {error:.2e}  {training.seconds:.0f} s, {left:.0f} s left",
                flush=True,
            )
            self.due = time.monotonic() + INTERVAL
