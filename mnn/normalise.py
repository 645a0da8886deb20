"""Affine normalisation of fields, with statistics of the training set alone."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

KINDS = ("mean", "standard", "pointwise")


@dataclass(frozen=True)
class Affine:
    """The map x -> (x - shift) / scale of a field; ``shift`` is a number or a field, ``scale`` a number."""

    shift: Tensor
    scale: Tensor

    def apply(self, field: Tensor) -> Tensor:
        """Normalise a field of shape (..., *shape)."""
        return (field - self.shift) / self.scale

    def invert(self, field: Tensor) -> Tensor:
        """Return a normalised field of shape (..., *shape) to physical units."""
        return field * self.scale + self.shift

    def to(self, device: torch.device | str) -> "Affine":
        """Copy to a device."""
        return Affine(self.shift.to(device), self.scale.to(device))


@dataclass(frozen=True)
class Normalisation:
    """The affine maps of input and output."""

    input: Affine
    output: Affine

    def to(self, device: torch.device | str) -> "Normalisation":
        """Copy to a device."""
        return Normalisation(self.input.to(device), self.output.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """Name the four statistics, as they stand in files."""
        sides = {"input": self.input, "output": self.output}
        return {f"{name}.{part}": getattr(side, part) for name, side in sides.items() for part in ("shift", "scale")}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "Normalisation":
        """Inverse of :meth:`tensors`."""
        sides = (Affine(tensors[f"{name}.shift"], tensors[f"{name}.scale"]) for name in ("input", "output"))
        return cls(*sides)


def fit(inputs: np.ndarray, outputs: np.ndarray, kind: str) -> Normalisation:
    """Normalisation from the training set's fields, each of shape (samples, *shape).

    ``"mean"`` (the paper's): the input scaled by its mean, the output shifted by its mean. ``"standard"``: both
    shifted by their mean and scaled by their standard deviation, over all samples and points. ``"pointwise"``:
    like ``"standard"``, but shifted by the mean at every grid point, for maps that are not translation invariant.

    Raises
    ------
    ValueError
        If the kind is unknown, the output is constant or the input has nothing to be scaled by.
    """
    if kind not in KINDS:
        raise ValueError(f"normalisation: {kind!r} given, {', '.join(map(repr, KINDS))} allowed")
    input_shift, output_shift = (_shift(field, pointwise=kind == "pointwise") for field in (inputs, outputs))
    output_scale = _deviation(outputs, output_shift)
    if output_scale <= 1e-12 * np.abs(output_shift).max():
        raise ValueError("output: the same in every sample, so there is no map to learn")
    if kind == "mean":
        if input_shift == 0.0:
            raise ValueError("input: its mean is zero, so normalisation 'mean' cannot scale by it")
        return Normalisation(_affine(0.0, input_shift), _affine(output_shift, 1.0))
    input_scale = _deviation(inputs, input_shift)
    if input_scale <= 1e-12 * np.abs(input_shift).max():
        raise ValueError("input: the same in every sample, so there is no map to learn")
    return Normalisation(_affine(input_shift, input_scale), _affine(output_shift, output_scale))


def _shift(field: np.ndarray, pointwise: bool) -> np.ndarray:
    return field.mean(axis=0 if pointwise else None, dtype=np.float64)


def _deviation(field: np.ndarray, shift: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(field - shift), dtype=np.float64)))


def _affine(shift: np.ndarray | float, scale: np.ndarray | float) -> Affine:
    return Affine(torch.tensor(shift, dtype=torch.float32), torch.tensor(scale, dtype=torch.float32))
