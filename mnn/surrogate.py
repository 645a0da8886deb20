"""A trained model in the hand: fields in physical units in, fields in physical units out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnn import data, model_file

CHUNK = 512
"""Samples the network is given at once."""


def load(path: str | Path, device: str | torch.device = "cpu") -> "Surrogate":
    """Load a trained model.

    Parameters
    ----------
    path : path of a model file
    device : str or torch.device
        Where the network runs.

    Raises
    ------
    ValueError
        If the file is missing, damaged or not a model; one line.
    """
    return Surrogate(model_file.load(path), device)


class Surrogate:
    """A trained map between fields, called like a function.

    Parameters
    ----------
    model : mnn.model_file.Model
    device : str or torch.device

    Attributes
    ----------
    grid : dict
        The grid it was trained on: ``shape``, ``axes``, names and units of ``input`` and ``output``.
    record : dict
        How it was trained.
    members : int
        Networks trained from different seeds.
    """

    def __init__(self, model: model_file.Model, device: str | torch.device = "cpu"):
        self.device = torch.device(device)
        self.network = model.network.to(self.device).requires_grad_(False)
        self.normalisation = model.normalisation.to(self.device)
        self.grid, self.record, self.members = model.grid, model.record, model.network.members

    def __repr__(self) -> str:
        names = f"{self.grid['input']['name']} -> {self.grid['output']['name']}"
        return f"Surrogate({names}, {data.describe_grid(self.grid)}, {self.members} members, {self.network.spec})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Grid points along each axis."""
        return tuple(self.grid["shape"])

    def __call__(self, field, member: int | str = "mean"):
        """Apply the map.

        Parameters
        ----------
        field : numpy array, torch tensor or xarray.DataArray, (batch, *shape) or (*shape)
            The input field in physical units. The gradient of a tensor passes through.
        member : "mean", "all" or int
            The mean of all members' outputs (default), the outputs of all with a leading axis, or one member's.

        Returns
        -------
        The same kind as ``field``, of its shape (behind the axis of members with ``"all"``), in physical units.

        Raises
        ------
        ValueError
            If the field lies on another grid than the one trained on, is not finite, or there is no such member.
        """
        if isinstance(field, Tensor):
            return self._tensor(field, member)
        if isinstance(field, np.ndarray):
            return self._array(field, member)
        if type(field).__module__.partition(".")[0] == "xarray":
            return self._labelled(field, member)
        allowed = "a numpy array, torch tensor or xarray.DataArray"
        raise ValueError(f"field: {type(field).__name__} given, {allowed} expected")

    def _tensor(self, field: Tensor, member: int | str) -> Tensor:
        self._check(field.shape, {}, member)
        if not torch.isfinite(field).all():
            raise ValueError("field: NaN or infinity found, finite values expected")
        batch = field.reshape(-1, *self.shape).to(self.device, torch.float32)
        parts = [self.apply(self.network, part, member) for part in batch.split(CHUNK)]
        result = torch.cat(parts, dim=1 if member == "all" else 0)
        lead = (self.members,) if member == "all" else ()
        return result.reshape(*lead, *field.shape).to(field.device, field.dtype)

    def apply(self, run: Callable[[Tensor], Tensor], field: Tensor, member: int | str) -> Tensor:
        """Map (batch, *shape) float32 to the same, or all members' with a leading axis; ``run`` runs the network."""
        normalised = self.normalisation.input.apply(field)
        outputs = run(normalised.unsqueeze(0) if self.members == 1 else normalised)
        if member == "mean":
            outputs = outputs.mean(0)
        elif member != "all":
            outputs = outputs[member]
        return self.normalisation.prediction(field, outputs)

    def _array(self, field: np.ndarray, member: int | str) -> np.ndarray:
        if field.dtype.kind not in "fiu":
            raise ValueError(f"field: dtype {field.dtype} given, real numbers expected")
        with torch.no_grad():
            result = self._tensor(torch.from_numpy(np.ascontiguousarray(field, dtype=np.float32)), member)
        return result.numpy().astype(field.dtype if field.dtype.kind == "f" else np.float32, copy=False)

    def _labelled(self, field, member: int | str):
        dims = list(self.grid["axes"]) or list(field.dims[-len(self.shape) :])
        missing = [name for name in dims if name not in field.dims]
        if missing:
            raise ValueError(f"field: dimensions {field.dims} given, {', '.join(dims)} expected among them")
        field = field.transpose(..., *dims)
        points = {name: field[name].values for name in dims if name in field.coords}
        self._check(field.shape, points, member)
        output = self.grid["output"]
        like = field.expand_dims(member=self.members) if member == "all" else field
        result = like.copy(data=self._array(field.values, member))
        result.attrs = {"long_name": output["long_name"], "units": output["units"]}
        return result.rename(output["name"])

    def _check(self, shape: tuple[int, ...], points: dict, member: int | str) -> None:
        batch, grid = tuple(shape)[: -len(self.shape)], tuple(shape)[-len(self.shape) :]
        if not data.same_grid(self.grid, grid, points) or (not points and len(batch) > 1):
            expected = ", ".join(map(str, self.shape))
            raise ValueError(
                f"field: shape {tuple(shape)}{_span(points)} given, trained on ({expected}) or (batch, {expected}): "
                f"{data.describe_grid(self.grid)}"
            )
        if member not in ("mean", "all") and not (isinstance(member, int) and 0 <= member < self.members):
            raise ValueError(f"member: {member!r} given, 'mean', 'all' or 0 to {self.members - 1} allowed")


def _span(points: dict) -> str:
    return "".join(f", {name} from {p[0]:.4g} to {p[-1]:.4g}," for name, p in points.items() if len(p))
