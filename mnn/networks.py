"""MNN-H² and MNN-H as Algorithm 4 of the paper, in any dimension, with shared or per-box weights."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from mnn.boxes import ADJACENT_BAND, band, box_points, children_table, neighbour_table
from mnn.initialise import initialise
from mnn.layers import BoxLayer, GatherLayer, InterpolationLayer
from mnn.spec import NetworkSpec


def network(
    *,
    members: int = 1,
    seed: int | Sequence[int] = 0,
    dtype: torch.dtype = torch.float32,
    initial: str = "paper",
    **spec,
) -> "MultiscaleNetwork":
    """Make a network.

    Parameters
    ----------
    members : int
        Independent networks S of the same specification, held as the leading axis of every weight.
    seed : int or sequence of int
        Seed of the first member, the next ones' follow; or the seed of each. Member k is the network that has its
        seed alone.
    dtype : torch.dtype
        Type of weights, input and output.
    initial : {"paper", "positive"}
        Initial state, see `mnn.initialise.initialise`.
    **spec
        Keys of `NetworkSpec`: shape, levels, rank, depth, architecture, layers, padding, ...

    Raises
    ------
    ValueError
        One line that names the key, the value seen and what is allowed.
    """
    if not isinstance(members, int) or isinstance(members, bool) or members < 1:
        raise ValueError(f"members: {members!r} given, an integer of at least 1 expected")
    seeds = [int(s) for s in seed] if np.ndim(seed) else [int(seed) + k for k in range(members)]
    if len(seeds) != members:
        raise ValueError(f"seed: {len(seeds)} seeds given, one for each of {members} members expected")
    spec = NetworkSpec.from_dict(spec)
    made = _ARCHITECTURES[spec.architecture](spec, members, dtype)
    initialise(made, seeds, initial)
    return made


class KernelChain(nn.ModuleDict):
    """Kernel layers "1" .. "K" of a level, or of the adjacent part, in a row (Algorithm 4, lines 2-4 and 11-13).

    Parameters
    ----------
    layers : sequence of GatherLayer
    residual : bool
        Whether each layer's output is added to its input.
    """

    def __init__(self, layers: Sequence[GatherLayer], residual: bool = False):
        super().__init__({str(k): layer for k, layer in enumerate(layers, start=1)})
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (members or 1, boxes, channels, batch) to (members, boxes, channels, batch)."""
        for layer in self.values():
            x = x + layer(x) if self.residual else layer(x)
        return x


class MultiscaleNetwork(nn.Module):
    """A map between fields on a grid: an adjacent part plus a far field that passes through the tree of boxes.

    Parameters are named after Algorithm 4: ``adjacent.{k}``, ``restriction.{l}``, ``kernel.{l}.{k}`` and
    ``interpolation.{l}`` (``parallel.{l}.{k}`` for a second chain, ``restriction_more.{l}.{k}`` and
    ``interpolation_more.{l}.{k}`` for further layers between levels), each ``.weight``, (members, [boxes,] taps, out,
    in), and ``.bias``. States have the layout (members, boxes, channels, batch).

    Parameters
    ----------
    spec : NetworkSpec
    members : int
    dtype : torch.dtype
    """

    def __init__(self, spec: NetworkSpec, members: int, dtype: torch.dtype):
        super().__init__()
        self.spec, self.members = spec, members
        self._common = {"members": members, "bias": spec.bias, "dtype": dtype}
        points = box_points(spec.shape, spec.levels)
        self.register_buffer("points", torch.from_numpy(points.ravel()), persistent=False)
        self.register_buffer("grid", torch.from_numpy(np.argsort(points, axis=None)), persistent=False)
        self.adjacent = KernelChain([self._adjacent_layer(k) for k in range(1, spec.depth + 1)])
        self.restriction = self._per_level(self._restriction_layer)
        self.kernel = self._per_level(self._kernel_chain)
        if spec.kernel == "parallel":
            self.parallel = self._per_level(self._kernel_chain)
        self.interpolation = self._per_level(self._interpolation_layer)

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """Apply the network.

        Parameters
        ----------
        v : (batch, *shape) or (members, batch, *shape) tensor
            Fields, the same for all members or each member's own.

        Returns
        -------
        (batch, *shape), or (members, batch, *shape) if there are several members or each has its own fields.

        Raises
        ------
        ValueError
            If shape or type of ``v`` do not fit; the message is one line.
        """
        from mnn import compiled

        return compiled.apply(self, v) if compiled.supports(self, v) else self.reference(v)

    def reference(self, v: torch.Tensor) -> torch.Tensor:
        """Apply the network in plain torch. Arguments as for `forward`; line numbers are those of Algorithm 4."""
        v = self.check(v)
        u = self._reshape_m(self.core(self._reshape_t(v)))
        return u[0] if self.members == 1 and v.ndim == self.spec.dimension + 1 else u

    def core(self, x: torch.Tensor) -> torch.Tensor:
        """Map (members or 1, points, 1, batch), points box by box, to (members, points, 1, batch).

        The compiled path is derived from what this calls: layers, sums and reshapes that keep the batch apart.
        """
        near = self.adjacent(self._as_boxes(x))  # lines 2-4
        return self.far_field(x) + self._as_points(near)  # lines 5-24

    def far_field(self, x: torch.Tensor) -> torch.Tensor:
        """Map (members or 1, points, 1, batch), points box by box, to (members, points, 1, batch): lines 6-23."""
        raise NotImplementedError

    def kernel_part(self, level: int, x: torch.Tensor) -> torch.Tensor:
        """Apply the kernel layers of a level: lines 11-13 of Algorithm 4, or the sum of two such chains."""
        y = self.kernel[str(level)](x)
        return y + self.parallel[str(level)](x) if self.spec.kernel == "parallel" else y

    def check(self, v: torch.Tensor) -> torch.Tensor:
        """Return ``v``, or raise a one-line ValueError that names what does not fit."""
        shape, d = self.spec.shape, self.spec.dimension
        lead = tuple(v.shape[:-d])
        if v.shape[v.ndim - d :] != shape or len(lead) not in (1, 2) or (len(lead) == 2 and lead[0] != self.members):
            grid = ", ".join(map(str, shape))
            raise ValueError(
                f"v: shape {tuple(v.shape)} given, (batch, {grid}) or ({self.members}, batch, {grid}) expected"
            )
        if v.dtype != self.dtype:
            raise ValueError(f"v: dtype {v.dtype} given, {self.dtype} expected")
        return v

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.adjacent["1"].weight.dtype

    def extra_repr(self) -> str:
        """Say what the network is, in one line."""
        return ", ".join(f"{key}={value}" for key, value in {**self.spec.to_dict(), "members": self.members}.items())

    def _reshape_t(self, v: torch.Tensor) -> torch.Tensor:
        """Map (members or none, batch, *shape) to (members or 1, points, 1, batch), points box by box."""
        members = 1 if v.ndim == self.spec.dimension + 1 else v.shape[0]
        x = v.reshape(members, v.shape[-self.spec.dimension - 1], len(self.points)).transpose(1, 2)
        x = x.contiguous() if self.spec.dimension == 1 else x.index_select(1, self.points)
        return x.unsqueeze(2)

    def _reshape_m(self, u: torch.Tensor) -> torch.Tensor:
        """Map (members, points, 1, batch) back to (members, batch, *shape)."""
        u = u.squeeze(2)
        u = u if self.spec.dimension == 1 else u.index_select(1, self.grid)
        return u.transpose(1, 2).reshape(u.shape[0], u.shape[2], *self.spec.shape)

    def _as_boxes(self, x: torch.Tensor) -> torch.Tensor:
        """View points box by box as boxes of level L, a point a channel."""
        size = self.spec.box_size**self.spec.dimension
        return x.reshape(x.shape[0], len(self.points) // size, size, x.shape[-1])

    def _as_points(self, x: torch.Tensor) -> torch.Tensor:
        """View boxes of level L, a point a channel, as points box by box."""
        return x.reshape(x.shape[0], len(self.points), 1, x.shape[-1])

    def _per_level(self, make) -> nn.ModuleDict:
        return nn.ModuleDict({str(level): make(level) for level in self.spec.level_range()})

    def _neighbour_layer(self, level: int, width: int, channels: int, **options) -> GatherLayer:
        spec = self.spec
        table = neighbour_table(level, spec.dimension, width, spec.padding == "periodic")
        return GatherLayer(table, len(table), inputs=channels, outputs=channels, **options, **self._common)

    def _adjacent_layer(self, k: int) -> GatherLayer:
        spec = self.spec
        activation = "identity" if k == spec.depth else spec.activation
        options = {"local": spec.is_local("adjacent", k), "activation": activation}
        return self._neighbour_layer(spec.levels, ADJACENT_BAND, spec.box_size**spec.dimension, **options)

    def _kernel_chain(self, level: int) -> KernelChain:
        spec = self.spec
        options = {"local": spec.is_local("kernel"), "activation": spec.activation}
        layers = [self._neighbour_layer(level, band(level), spec.rank, **options) for _ in range(spec.depth)]
        return KernelChain(layers, residual=spec.kernel == "residual")

    def _restriction_layer(self, level: int) -> BoxLayer:
        raise NotImplementedError

    def _interpolation_layer(self, level: int) -> BoxLayer:
        raise NotImplementedError

    def _points_of(self, level: int) -> np.ndarray:
        """Return the points of every box of a level, as indices into the points box by box."""
        return self.grid.numpy()[box_points(self.spec.shape, level)]

    def _from_points(self, level: int) -> GatherLayer:
        table = self._points_of(level)
        local = self.spec.is_local("restriction")
        return GatherLayer(table, table.size, inputs=1, outputs=self.spec.rank, local=local, **self._common)

    def _to_points(self, level: int) -> InterpolationLayer:
        local = self.spec.is_local("interpolation")
        return InterpolationLayer(self._points_of(level), inputs=self.spec.rank, outputs=1, local=local, **self._common)


class MNNH2(MultiscaleNetwork):
    """MNN-H²: restriction and interpolation are nested, a level reads and feeds the next finer one."""

    def __init__(self, spec: NetworkSpec, members: int, dtype: torch.dtype):
        super().__init__(spec, members, dtype)
        if spec.transfer_depth > 1:
            self.restriction_more = self._more_layers("restriction")
            self.interpolation_more = self._more_layers("interpolation")

    def far_field(self, x: torch.Tensor) -> torch.Tensor:
        """Map points to points through the nested levels: lines 6-23 of Algorithm 4."""
        finest = self.spec.levels
        zeta = {finest: self.restriction[str(finest)](x)}  # line 6
        for level in range(finest - 1, 1, -1):  # lines 7-9
            zeta[level] = self.restrict(level, zeta[level + 1])
        for level in self.spec.level_range():  # lines 10-14
            zeta[level] = self.kernel_part(level, zeta[level])
        chi = 0  # line 15
        for level in self.spec.level_range():  # lines 16-23, ReshapeM being part of the interpolation
            chi = self.interpolate(level, chi + zeta[level])
        return chi

    def restrict(self, level: int, x: torch.Tensor) -> torch.Tensor:
        """Map the state of the next finer level to a level's: line 8, and further layers on each box."""
        x = self.restriction[str(level)](x)
        return self.restriction_more[str(level)](x) if self._has_more(level) else x

    def interpolate(self, level: int, x: torch.Tensor) -> torch.Tensor:
        """Map the state of a level to the next finer one's, or to points: lines 18-19 or 22-23."""
        x = self.interpolation_more[str(level)](x) if self._has_more(level) else x
        return self.interpolation[str(level)](x)

    def _has_more(self, level: int) -> bool:
        return self.spec.transfer_depth > 1 and level < self.spec.levels

    def _more_layers(self, part: str) -> nn.ModuleDict:
        chains = {}
        for level in range(2, self.spec.levels):
            alone = np.arange(2 ** (level * self.spec.dimension))[:, None]
            options = {**self._transfer_options(part), **self._common}
            layers = [GatherLayer(alone, len(alone), **options) for _ in range(self.spec.transfer_depth - 1)]
            chains[str(level)] = KernelChain(layers)
        return nn.ModuleDict(chains)

    def _transfer_options(self, part: str) -> dict:
        spec = self.spec
        activation = spec.activation if spec.transfer == "nonlinear" else "identity"
        return {"inputs": spec.rank, "outputs": spec.rank, "local": spec.is_local(part), "activation": activation}

    def _restriction_layer(self, level: int) -> GatherLayer:
        if level == self.spec.levels:
            return self._from_points(level)
        table = children_table(level, self.spec.dimension)
        return GatherLayer(table, table.size, **self._transfer_options("restriction"), **self._common)

    def _interpolation_layer(self, level: int) -> InterpolationLayer:
        if level == self.spec.levels:
            return self._to_points(level)
        table = children_table(level, self.spec.dimension)
        return InterpolationLayer(table, **self._transfer_options("interpolation"), **self._common)


class MNNH(MultiscaleNetwork):
    """MNN-H, the paper's [17]: every level reads the grid and feeds the grid by itself."""

    def far_field(self, x: torch.Tensor) -> torch.Tensor:
        """Map points to points, the sum of all levels."""
        u = 0
        for level in self.spec.level_range():
            zeta = self.kernel_part(level, self.restriction[str(level)](x))
            u = u + self.interpolation[str(level)](zeta)
        return u

    def _restriction_layer(self, level: int) -> GatherLayer:
        return self._from_points(level)

    def _interpolation_layer(self, level: int) -> InterpolationLayer:
        return self._to_points(level)


_ARCHITECTURES = {"mnn-h2": MNNH2, "mnn-h": MNNH}
