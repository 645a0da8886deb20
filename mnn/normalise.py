"""Affine normalisation of fields, with statistics of the training set, and the linear part a network builds on."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mnn.linear import LinearMap, Pair, chunks, from_arrays
from mnn.linear import fit as fit_linear
from mnn.recipes import NORMALISATIONS

LINEAR = "linear."


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
    """The affine maps of input and output, and a linear map where the network learns only what that leaves over."""

    input: Affine
    output: Affine
    linear: LinearMap | None = None

    def target(self, field: Tensor, output: Tensor) -> Tensor:
        """Return what the network should make of a normalised input: (..., *shape), from physical units."""
        return self.output.apply(output if self.linear is None else output - self.linear(field))

    def prediction(self, field: Tensor, result: Tensor) -> Tensor:
        """Return to physical units what the network made of an input field: inverse of :meth:`target`."""
        prediction = self.output.invert(result)
        return prediction if self.linear is None else prediction + self.linear(field)

    def to(self, device: torch.device | str) -> "Normalisation":
        """Copy to a device."""
        moved = self.linear and self.linear.each(lambda tensor: tensor.to(device))
        return Normalisation(self.input.to(device), self.output.to(device), moved)

    def tensors(self) -> dict[str, Tensor]:
        """Name all statistics, as they stand in files."""
        sides = {"input": self.input, "output": self.output}
        named = {f"{name}.{part}": getattr(side, part) for name, side in sides.items() for part in ("shift", "scale")}
        return named | {LINEAR + name: tensor for name, tensor in (self.linear.arrays() if self.linear else {}).items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "Normalisation":
        """Inverse of :meth:`tensors`."""
        sides = (Affine(tensors[f"{name}.shift"], tensors[f"{name}.scale"]) for name in ("input", "output"))
        part = {name.removeprefix(LINEAR): tensor for name, tensor in tensors.items() if name.startswith(LINEAR)}
        return cls(*sides, from_arrays(part) if part else None)


def fit_rest(train: Pair, validation: Pair, kind: str, invariant: bool) -> Normalisation:
    """Fit the best linear map (:func:`mnn.linear.fit`) and normalise what it leaves over, as :func:`fit` does.

    Raises
    ------
    ValueError
        As :func:`fit`; and if the linear map leaves nothing but rounding.
    """
    inputs, outputs = train
    best = fit_linear(train, validation, invariant)
    rest = outputs - np.concatenate([best(part) for part, _ in chunks(inputs, outputs)])
    if np.square(rest).mean() <= 1e-12 * outputs.var():
        raise ValueError("overrides.linear: true given, but the map is linear to rounding: nothing is left to learn")
    affine = fit(inputs, rest, kind)
    return Normalisation(affine.input, affine.output, best.each(lambda part: torch.tensor(part, dtype=torch.float32)))


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
    if kind not in NORMALISATIONS:
        raise ValueError(f"normalisation: {kind!r} given, {', '.join(map(repr, NORMALISATIONS))} allowed")
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
