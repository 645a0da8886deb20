"""What a network is, in a few words: everything but its weights. Free of torch, so that it is checked fast."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

CHOICES = {
    "architecture": ("mnn-h2", "mnn-h"),
    "layers": ("cnn", "lc", "mix"),
    "padding": ("periodic", "zero"),
    "activation": ("relu", "identity"),
    "bias": (True, False),
    "transfer": ("linear", "nonlinear"),
    "kernel": ("chain", "residual", "parallel"),
}


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Specification of a network.

    Parameters
    ----------
    shape : tuple of int
        Grid points along each axis, N for every axis; its length is the dimension d.
    levels : int
        L: N = 2^L m, with m points an axis in a box of the finest level.
    rank : int
        r, channels of a box.
    depth : int
        K, kernel layers on each level and layers of the adjacent part.
    architecture : {"mnn-h2", "mnn-h"}
        Nested restriction and interpolation (Algorithm 4 of the paper), or one of each for every level.
    layers : {"cnn", "lc", "mix"}
        Weights shared by all boxes, a set for every box, or restriction and interpolation (and in one dimension the
        last adjacent layer) a set for every box and the rest shared (section 3.2 of the paper).
    padding : {"periodic", "zero"}
        What a kernel layer meets beyond the grid.
    activation : {"relu", "identity"}
        phi of the kernel layers; "identity" gives the linear networks of Algorithms 2 and 3.
    bias : bool
        Whether layers have biases.
    transfer : {"linear", "nonlinear"}
        Whether phi acts in the nested restriction and interpolation (Algorithm 4, lines 8 and 18) too. MNN-H² only.
    transfer_depth : int
        Layers of each nested restriction and interpolation: all but one act on each box alone, behind the restriction
        and before the interpolation. MNN-H² only.
    kernel : {"chain", "residual", "parallel"}
        The far-field kernel layers of a level one after another, each added to its input, or two chains side by side.

    Raises
    ------
    ValueError
        One line that names the key, the value seen and what is allowed.
    """

    shape: tuple[int, ...]
    levels: int
    rank: int
    depth: int
    architecture: str = "mnn-h2"
    layers: str = "cnn"
    padding: str = "periodic"
    activation: str = "relu"
    bias: bool = True
    transfer: str = "linear"
    transfer_depth: int = 1
    kernel: str = "chain"

    def __post_init__(self):
        for key, allowed in CHOICES.items():
            if getattr(self, key) not in allowed:
                raise ValueError(f"{key}: {getattr(self, key)!r} given, {' or '.join(map(repr, allowed))} allowed")
        for key, least in (("levels", 2), ("rank", 1), ("depth", 1), ("transfer_depth", 1)):
            value = getattr(self, key)
            if not _is_integer(value) or value < least:
                raise ValueError(f"{key}: {value!r} given, an integer of at least {least} expected")
        object.__setattr__(self, "shape", _checked_shape(self.shape, self.levels))
        for key, only in (("transfer", "linear"), ("transfer_depth", 1)):
            if self.architecture == "mnn-h" and getattr(self, key) != only:
                raise ValueError(f"{key}: {getattr(self, key)!r} given, 'mnn-h' has no nested layers: {only!r} allowed")

    @classmethod
    def from_dict(cls, spec: Mapping) -> "NetworkSpec":
        """Make a specification from a mapping; unknown and missing keys are errors that are named."""
        known = {field.name: field for field in fields(cls)}
        for key in spec:
            if key not in known:
                raise ValueError(f"{key}: unknown key, {', '.join(known)} allowed")
        for key in ("shape", "levels", "rank", "depth"):
            if key not in spec:
                raise ValueError(f"{key}: missing, every network needs shape, levels, rank and depth")
        return cls(**spec)

    @classmethod
    def from_json(cls, text: str) -> "NetworkSpec":
        """Make a specification from the text that `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    def to_dict(self) -> dict:
        """Return all keys, JSON-ready: ``mnn.network(**spec.to_dict())`` has this specification."""
        return {**asdict(self), "shape": list(self.shape)}

    def to_json(self) -> str:
        """Return the specification as JSON with sorted keys."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @property
    def dimension(self) -> int:
        """Number of axes d."""
        return len(self.shape)

    @property
    def box_size(self) -> int:
        """Points m along an axis of a box of the finest level."""
        return self.shape[0] // 2**self.levels

    def level_range(self) -> range:
        """Levels that have kernel layers: 2 .. L."""
        return range(2, self.levels + 1)

    def is_local(self, part: str, k: int = 1) -> bool:
        """Whether the layers of a part are locally connected.

        Parameters
        ----------
        part : {"adjacent", "restriction", "kernel", "interpolation"}
        k : int
            Number of the layer in a chain, from 1; a mixed network's last adjacent layer is special.
        """
        if self.layers == "mix":
            last_adjacent = part == "adjacent" and self.dimension == 1 and k == self.depth
            return part in ("restriction", "interpolation") or last_adjacent
        return self.layers == "lc"


def _is_integer(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _checked_shape(shape, levels: int) -> tuple[int, ...]:
    shape = tuple(shape) if isinstance(shape, (tuple, list)) else shape
    if not isinstance(shape, tuple) or not shape or not all(_is_integer(n) and n > 0 for n in shape):
        raise ValueError(f"shape: {shape!r} given, a tuple of positive integers expected")
    if len(set(shape)) > 1:
        raise ValueError(f"shape: {shape} given, the same number of points along every axis expected")
    if shape[0] % 2**levels:
        raise ValueError(f"shape: {shape} given, with levels = {levels} a multiple of {2**levels} an axis expected")
    return shape
