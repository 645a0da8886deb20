"""From a network to the program that the compiled kernels run, derived from the network's own definition."""

import operator
from dataclasses import dataclass, field

import numpy as np
from torch import fx, nn

from mnn.compiled.filtering import filter_of
from mnn.compiled.kernels import ACCUMULATE, ADD, FILTER, LAYER, MASK, RELU, STEP, SUMS, SWEEP
from mnn.layers import BoxLayer, GatherLayer

CHUNK = 32
"""Boxes whose outer products are summed at a time, so that the states they need stay in the nearest cache."""

SHARED_BLOCKS, LOCAL_BLOCKS = 3, 5
"""Blocks of samples in a tile: more of them share the cost of reading weights, and of adding up the sums of their
gradients, which is large where boxes have weights of their own. Odd: rows a power of two apart crowd the cache."""

LARGEST_INDEX = 2**31


class NotCoveredError(Exception):
    """A network that the compiled kernels cannot run."""


@dataclass(frozen=True)
class Blocks:
    """A layer as a sparse matrix of small blocks.

    Parameters
    ----------
    box, source, weight : (entries,) int64 array
        Row and column of each block, and where its weights start in those of a member.
    shift : (boxes,) int64 array
        Where the bias of each row starts.
    sources, inputs, outputs : int
        Number of columns, channels of a column and of a row.
    to_out, to_in : int
        Strides of the weights from one output and one input channel to the next.
    """

    box: np.ndarray
    source: np.ndarray
    weight: np.ndarray
    shift: np.ndarray
    sources: int
    inputs: int
    outputs: int
    to_out: int
    to_in: int

    @classmethod
    def of(cls, layer: BoxLayer) -> "Blocks":
        """Read a layer. A run of points of one box becomes one box with as many channels, its points."""
        table = layer.table.numpy()
        run = _run(table) if _joins_points(layer) else 1
        heads = table[:, ::run] // run
        boxes = len(heads)
        sets = np.arange(boxes)[:, None] * layer.taps * layer.local + np.arange(0, layer.taps, run)
        rows = np.broadcast_to(np.arange(boxes)[:, None], heads.shape)
        weight, r = sets * layer.outputs * layer.inputs, layer.inputs
        if isinstance(layer, GatherLayer):
            shift = np.arange(boxes) * layer.outputs * layer.local
            strides = (1, layer.outputs) if layer.inputs == 1 else (layer.inputs, 1)
            inside = heads < layer.sources // run
            entries = (rows[inside], heads[inside], weight[inside])
            return cls(*entries, shift, layer.sources // run, layer.inputs * run, layer.outputs, *strides)
        shift = np.empty(heads.size, dtype=np.int64)
        shift[heads] = sets * layer.outputs
        return cls(heads.ravel(), rows.ravel(), weight.ravel(), shift, boxes, r, layer.outputs * run, r, 1)


def _joins_points(layer: BoxLayer) -> bool:
    """Whether the taps of a layer are single numbers, such as points, which may stand side by side."""
    if isinstance(layer, GatherLayer):
        return layer.inputs == 1 and not layer.padded
    return layer.outputs == 1


def _run(table: np.ndarray) -> int:
    """Length of the runs of consecutive numbers, each starting at a multiple of it, that all rows are made of."""
    taps = table.shape[1]
    for run in range(taps, 1, -1):
        if taps % run == 0:
            parts = table.reshape(-1, run)
            if not (parts[:, 0] % run).any() and (np.diff(parts) == 1).all():
                return run
    return 1


class Tables:
    """The kernels' table of numbers, filled piece by piece; a piece that is there already is not added again."""

    def __init__(self):
        self.pieces, self.places, self.size = [], {}, 0

    def add(self, *columns: np.ndarray) -> int:
        """Append arrays as the columns of a matrix and return where it starts."""
        piece = np.stack(columns, axis=-1).astype(np.int32)
        key = piece.tobytes()
        if key not in self.places:
            self.places[key] = self.size
            self.pieces.append(piece.ravel())
            self.size += piece.size
        return self.places[key]

    def lists(self, row: np.ndarray, first: np.ndarray, second: np.ndarray, rows: int) -> tuple[int, int]:
        """Add a list of pairs for each row; return where the rows' starts and the pairs stand."""
        order = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[order], np.arange(rows + 1))
        return self.add(starts), self.add(first[order], second[order])

    def sums(self, place: np.ndarray, box: np.ndarray, source: np.ndarray, chunk: int) -> tuple[int, int, int]:
        """Add pairs sorted by chunks of boxes and then by the place their product is added to; return `SUMS`."""
        group = box // chunk
        order = np.lexsort((box, place, group))
        place, group = place[order], group[order]
        first = np.flatnonzero(np.r_[True, (np.diff(place) != 0) | (np.diff(group) != 0)])
        counts = np.diff(np.r_[first, len(place)])
        return self.add(place[first], first, counts), len(first), self.add(box[order], source[order])

    def layer(self, layer: BoxLayer) -> tuple[list, list]:
        """Add all that a layer needs; return the sweeps (its own, its transpose's) and sums (weight's, bias's)."""
        b = Blocks.of(layer)
        boxes = len(b.shift)
        starts, entries = self.lists(b.box, b.source, b.weight, boxes)
        there = (boxes, starts, entries, self.add(b.shift), b.inputs, b.outputs, b.to_out, b.to_in)
        starts, entries = self.lists(b.source, b.box, b.weight, b.sources)
        back = (b.sources, starts, entries, starts, b.outputs, b.inputs, b.to_in, b.to_out)
        alone = np.arange(boxes)
        return [there, back], [
            self.sums(b.weight, b.box, b.source, CHUNK),
            self.sums(b.shift, alone, np.zeros_like(alone), boxes),
        ]


@dataclass
class Buffer:
    """A state between two steps: its rows, the step that makes it (-1: the input) and those that read it."""

    rows: int
    made: int
    read: list[int] = field(default_factory=list)
    relu: bool = False


class _Core(nn.Module):
    """What a network does between its first and last line: points to points, box by box."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network.core(x)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, BoxLayer)


class Trace:
    """The layers and sums of a network in the order in which its own code calls them.

    Rows of a state are numbered box by box and channel by channel, so that reshaping boxes and channels is no step.

    Raises
    ------
    NotCoveredError
        If the network does anything but apply layers, add and reshape.
    """

    def __init__(self, network: nn.Module):
        core = _Core(network)
        self.layers: list[BoxLayer] = []
        self.steps: list[tuple] = []
        self.buffers: list[Buffer] = []
        self.known: dict[fx.Node, int] = {}
        for node in _Tracer().trace(core).nodes:
            self._follow(node, core)

    def _follow(self, node: fx.Node, core: nn.Module) -> None:
        states = [self.known[argument] for argument in node.all_input_nodes if argument in self.known]
        if node.op == "placeholder":
            self.buffers.append(Buffer(core.network.points.numel(), -1))
            self.known[node] = 0
        elif node.op == "call_module":
            self.known[node] = self._layer(core.get_submodule(node.target), states[0])
        elif node.target is operator.add:
            self.known[node] = self._add(node, states)
        elif node.target == "reshape":
            self.known[node] = states[0]
        elif node.op == "output":
            self.output = self._last(states[0])
        elif node.target not in (getattr, operator.getitem):
            raise NotCoveredError(f"{node.target} is no layer and no sum")

    def _layer(self, layer: BoxLayer, x: int) -> int:
        self.layers.append(layer)
        rows = layer.boxes * layer.outputs * (1 if isinstance(layer, GatherLayer) else layer.taps)
        return self._step(LAYER, (x,), rows, layer.activation == "relu")

    def _add(self, node: fx.Node, states: list[int]) -> int:
        if len(states) == 1 and 0 in node.args:
            return states[0]
        if len(states) == 2:
            return self._fused(*states) or self._step(ADD, tuple(states), self.buffers[states[0]].rows)
        raise NotCoveredError(f"the sum {node.format_node()}")

    def _fused(self, x: int, y: int) -> int | None:
        """Let the last layer add the other term to its result, if it is linear and nothing else reads the result."""
        last = len(self.steps)
        kind, operands = self.steps[-1]
        alone = all(len(term.users) == 1 for term, state in self.known.items() if state == last)
        if last not in (x, y) or kind != LAYER or len(operands) > 1 or self.buffers[last].relu or not alone:
            return None
        other = x + y - last
        self.buffers[other].read.append(last - 1)
        self.steps[-1] = kind, (*operands, other)
        return last

    def _last(self, state: int) -> int:
        if state != len(self.steps) or self.buffers[state].relu:
            raise NotCoveredError("a network that ends in an activation")
        return state

    def _step(self, kind: int, operands: tuple[int, ...], rows: int, relu: bool = False) -> int:
        for operand in operands:
            self.buffers[operand].read.append(len(self.steps))
        self.buffers.append(Buffer(rows, len(self.steps), relu=relu))
        self.steps.append((kind, operands))
        return len(self.buffers) - 1


class Plan:
    """All that the kernels have to know of a network, its weights excepted.

    Parameters
    ----------
    network : mnn.networks.MultiscaleNetwork

    Attributes
    ----------
    layers : list of BoxLayer
        Layers by the kernels' numbers.
    rows, scratch_rows, gradient_rows : int
        Rows of a state that keeps all that the backward pass needs, of one that keeps nothing, and of the gradients.
    room : int
        Numbers that filters need room for, beside the states.

    Raises
    ------
    NotCoveredError
        If the kernels cannot run the network.
    """

    def __init__(self, network: nn.Module):
        trace = Trace(network)
        self.layers = trace.layers
        if any(layer.weight[0].numel() >= LARGEST_INDEX for layer in self.layers):
            raise NotCoveredError("a layer of more than 2^31 weights")
        self.tile_blocks = LOCAL_BLOCKS if any(layer.local for layer in self.layers) else SHARED_BLOCKS
        tables, sweeps, sums = Tables(), [], []
        for layer in self.layers:
            more_sweeps, more_sums = tables.layer(layer)
            sweeps += more_sweeps
            sums += more_sums
        self.filters, self.room = np.zeros(len(self.layers), FILTER), 0
        for i, filtered in enumerate(map(filter_of, self.layers)):
            if filtered is not None:
                self.filters[i], more_sums = filtered.write(tables, len(sums))
                sums += more_sums
                self.room = max(self.room, filtered.room(self.tile_blocks))
        self.sweeps, self.sums = np.array(sweeps, SWEEP), np.array(sums, SUMS)
        self.table = np.concatenate(tables.pieces)
        self.places, self.shape = network.grid.cpu().numpy(), network.spec.shape
        self.zero = np.zeros(1)
        self.bound = None
        self._lay_out(trace)

    def program(self, keep: bool) -> tuple:
        """Return the first argument of `kernels.forward`, for states that are kept for the backward pass or not."""
        steps, ends = (self.steps, self.ends) if keep else (self.scratch_steps, self.scratch_ends)
        return steps, self.sweeps, self.sums, self.filters, self.table, self.places, ends

    def gradient_program(self) -> tuple:
        """Return the first argument of `kernels.backward`."""
        return self.steps, self.sweeps, self.sums, self.filters, self.table, self.places, self.gradient_ends

    def _lay_out(self, trace: Trace) -> None:
        """Give every state and gradient its rows, and write the steps down for each way of running them."""
        buffers, last = trace.buffers, len(trace.steps)
        rows = [buffer.rows for buffer in buffers]
        made = [buffer.made for buffer in buffers]
        unread = [max(buffer.read, default=last) for buffer in buffers]
        gradients, self.gradient_rows = place(rows, [-step for step in unread], [-step for step in made])
        places, self.rows = place(rows, made, [last] * len(rows))
        self.steps = self._write(trace, places, gradients)
        self.ends, self.gradient_ends = ((where[0], where[trace.output]) for where in (places, gradients))
        places, self.scratch_rows = place(rows, made, unread)
        self.scratch_steps = self._write(trace, places, gradients)
        self.scratch_ends = places[0], places[trace.output]

    def _write(self, trace: Trace, places: list[int], gradients: list[int]) -> np.ndarray:
        written, layer = np.zeros(len(trace.steps), STEP), 0
        for number, (kind, (x, *rest)) in enumerate(trace.steps):
            y, other = number + 1, rest[0] if rest else x
            buffer = trace.buffers[y]
            written[number] = (
                kind,
                layer,
                *(places[b] for b in (x, other, y)),
                RELU * buffer.relu | ACCUMULATE * (kind == LAYER and bool(rest)),
                *(gradients[b] for b in (x, other, y)),
                *(self._flags(trace.buffers[b], number) for b in (x, other)),
                buffer.rows,
                x == 0,
            )
            layer += kind == LAYER
        return written

    @staticmethod
    def _flags(buffer: Buffer, step: int) -> int:
        """What is done to a gradient handed back: the last reader hands back first, the first one completes it."""
        return ACCUMULATE * (step < max(buffer.read)) | MASK * (buffer.relu and step == min(buffer.read))


def place(rows: list[int], first: list[int], last: list[int]) -> tuple[list[int], int]:
    """Give every buffer the lowest rows that are free from its first to its last step, both included.

    Returns
    -------
    (list of int, int)
        Where each buffer starts, and the rows needed.
    """
    starts: dict[int, int] = {}
    for b in sorted(range(len(rows)), key=first.__getitem__):
        start = 0
        for other in sorted((o for o in starts if first[o] <= last[b] and first[b] <= last[o]), key=starts.get):
            if start + rows[b] <= starts[other]:
                break
            start = max(start, starts[other] + rows[other])
        starts[b] = start
    return [starts[b] for b in range(len(rows))], max(starts[b] + rows[b] for b in starts)
