"""The two primitives every network is made of: a sum of small matrices over a table, and its mirror image.

States between layers have the layout (members, boxes, channels, batch), batch innermost. A layer's weight is
(members, [boxes,] taps, out, in): it has the axis of boxes where the layer is locally connected (LC, (2.9) of the
paper) and lacks it where all boxes share their weights (CNN, (3.3)).
"""

import numpy as np
import torch
from torch import nn


class BoxLayer(nn.Module):
    """What both primitives hold: a table, a small matrix for each of its entries (or of its columns), and biases.

    Parameters
    ----------
    table : (boxes, taps) int64 array
        Boxes (or points) that belong to each box, see `mnn.boxes`.
    inputs, outputs : int
        Channels of a box (or point) before and after the layer.
    local : bool
        Locally connected (weights of every box its own) or shared by all boxes.
    activation : {"identity", "relu"}
        Function phi applied to the result.
    members : int
        Independent copies of the layer, evaluated side by side.
    bias : bool
        Whether a bias is added.
    dtype : torch.dtype
    """

    def __init__(
        self,
        table: np.ndarray,
        inputs: int,
        outputs: int,
        local: bool = False,
        activation: str = "identity",
        members: int = 1,
        bias: bool = True,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        self.boxes, self.taps = table.shape
        self.inputs, self.outputs = inputs, outputs
        self.local, self.activation = local, activation
        self.register_buffer("table", torch.from_numpy(np.ascontiguousarray(table)), persistent=False)
        lead = (members, self.boxes) if local else (members,)
        self.weight = nn.Parameter(torch.zeros(*lead, self.taps, outputs, inputs, dtype=dtype))
        self.register_parameter(
            "bias", nn.Parameter(torch.zeros(*lead, *self.bias_shape, dtype=dtype)) if bias else None
        )

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of one box's bias."""
        raise NotImplementedError

    @property
    def fan_in(self) -> int:
        """Numbers that enter one output."""
        raise NotImplementedError

    def multiply(self, matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Multiply (members, [boxes,] rows, columns) by (members or 1, boxes, columns, batch), add bias, apply phi."""
        y = (matrix if self.local else matrix.unsqueeze(1)) @ x
        if self.bias is not None:
            bias = self.bias if self.local else self.bias.unsqueeze(1)
            y = y + bias.flatten(2).unsqueeze(-1)
        return torch.relu(y) if self.activation == "relu" else y

    def extra_repr(self) -> str:
        """Say what the layer connects, in one line."""
        kind = "LC" if self.local else "CNN"
        return f"{kind}, {self.boxes} boxes, {self.taps} taps, {self.inputs} -> {self.outputs}, {self.activation}"


class GatherLayer(BoxLayer):
    """Restriction and kernel layers, LCR and LCK of the paper: ``out[box] = sum_t W[t] in[table[box, t]] + b``.

    Parameters
    ----------
    table : (boxes, taps) int64 array
        Index into the boxes before the layer; one past their end means zeros.
    sources : int
        Number of boxes (or points) before the layer.
    **options
        See `BoxLayer`.
    """

    def __init__(self, table: np.ndarray, sources: int, **options):
        super().__init__(table, **options)
        self.sources = sources
        self.padded = bool((table == sources).any())
        self.in_order = np.array_equal(table.ravel(), np.arange(sources))

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of one box's bias: (out,)."""
        return (self.outputs,)

    @property
    def fan_in(self) -> int:
        """Numbers that enter one output: taps x in."""
        return self.taps * self.inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (members or 1, sources, in, batch) to (members, boxes, out, batch)."""
        if self.padded:
            x = torch.cat([x, x.new_zeros(x.shape[0], 1, *x.shape[2:])], dim=1)
        if not self.in_order:
            x = x.index_select(1, self.table.flatten())
        x = x.reshape(x.shape[0], self.boxes, self.fan_in, x.shape[-1])
        return self.multiply(self.weight.transpose(-3, -2).flatten(-2), x)


class InterpolationLayer(BoxLayer):
    """LCI of the paper with the ReshapeM after it: ``out[table[box, t]] = W[t] in[box] + b[t]``.

    The table's entries are a permutation: every child (or point) has one parent box.
    """

    def __init__(self, table: np.ndarray, **options):
        super().__init__(table, **options)
        order = np.argsort(table, axis=None)
        self.in_order = np.array_equal(order, np.arange(order.size))
        self.register_buffer("order", torch.from_numpy(order), persistent=False)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of one box's bias: (taps, out)."""
        return (self.taps, self.outputs)

    @property
    def fan_in(self) -> int:
        """Numbers that enter one output: in."""
        return self.inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (members, boxes, in, batch) to (members, boxes x taps, out, batch)."""
        y = self.multiply(self.weight.flatten(-3, -2), x)
        y = y.reshape(y.shape[0], self.boxes * self.taps, self.outputs, y.shape[-1])
        return y if self.in_order else y.index_select(1, self.order)
