"""Progress of a training: a bar with the remaining time on a terminal, plain lines at intervals in a log."""

import sys
import time

MEASURES = ("loss", "train_error", "validation_error")
"""What the history has for every seed."""
INTERVAL = 15.0
"""Seconds between two lines in a log."""


class Progress:
    """A context manager that reports every epoch.

    Parameters
    ----------
    training : mnn.training.Training
    resumed : bool
        Whether it goes on from a checkpoint.
    board : path, optional
        Folder of a TensorBoard log to add to.
    """

    def __init__(self, training, resumed: bool, board: str | None = None):
        self.training, self.resumed = training, resumed
        self.bar = None
        self.board = None if board is None else Board(board, training)
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
        if self.board is not None:
            self.board.close()

    def after_epoch(self, training) -> None:
        """Report the epoch just done."""
        row = training.history[-1]
        if self.board is not None:
            self.board.add(row)
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


class Board:
    """A TensorBoard log: loss, training and validation error of every seed, learning rate, samples a second.

    Parameters
    ----------
    folder : path
    training : mnn.training.Training
        Epochs of its history after the last checkpoint are logged again, over those of the run that was broken off.

    Raises
    ------
    ValueError
        If the package tensorboard is not installed.
    """

    def __init__(self, folder: str, training):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ValueError("tensorboard: not installed, `make extras` does that") from None
        self.seeds = training.plan.seeds
        self.samples = training.steps_per_epoch * training.plan.batch_size * len(self.seeds)
        self.writer = SummaryWriter(folder, purge_step=training.epoch + 1)

    def add(self, row: dict) -> None:
        """Add one line of the history."""
        numbers = {f"{name}/seed{seed}": row[name][k] for name in MEASURES for k, seed in enumerate(self.seeds)}
        numbers["learning_rate"] = row["learning_rate"]
        numbers["samples_per_second"] = row["epoch"] * self.samples / max(row["seconds"], 1e-9)
        for name, number in numbers.items():
            self.writer.add_scalar(name, number, row["epoch"])

    def close(self) -> None:
        """Write what is still in memory."""
        self.writer.close()
