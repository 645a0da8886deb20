"""The compiled kernels as a function of torch: dispatch, gradients, threads."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

import numba
import numpy as np
import torch
from numba.core import event
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mnn.compiled import kernels
from mnn.compiled.plan import NotCoveredError, Plan

try:
    import fcntl
except ImportError:  # not a POSIX system: processes that start at the same time compile each for itself
    fcntl = None

log = logging.getLogger(__name__)

MOST_GROUPS = 16
"""Sums of gradients that are kept apart, and so the threads that can work on one member's backward pass."""

GROUP_NUMBERS = 2**24
"""Numbers that all those sums may hold, as long as there are two."""

_plans: WeakKeyDictionary[nn.Module, Plan | None] = WeakKeyDictionary()


def plan_of(network: nn.Module) -> Plan | None:
    """Return the program of a network, made when first asked for; None if the kernels cannot run it."""
    if network not in _plans:
        try:
            _plans[network] = Plan(network)
        except NotCoveredError as error:
            log.warning("no compiled path for this network, plain torch runs it: %s", error)
            _plans[network] = None
    return _plans[network]


@dataclass(frozen=True)
class Weights:
    """Where the kernels find the weights, and where gradients go.

    Parameters
    ----------
    members : int
    layers : (layers, 6) int64 array
        See `kernels.forward`.
    leaves : list of Tensor
        What is differentiated with respect to: weights and biases, or the one buffer that holds them all.
    places : list of int
        Addresses of the leaves.
    addresses : list of int or None
        Of each layer's weight and bias.
    """

    members: int
    layers: np.ndarray
    leaves: list[Tensor]
    places: list[int]
    addresses: list[int | None]


def bind(network: nn.Module, weights: Tensor, gradients: Tensor) -> None:
    """Take a network's many gradients as one: a training step is then free of the cost of handling each.

    Parameters
    ----------
    network : torch.nn.Module
    weights, gradients : Tensor
        Contiguous buffers of equal size. All parameters are views of the first, and the gradients that
        ``backward`` finds are added to the second in the same places. ``torch.autograd.grad`` and hooks do not see
        the parameters any more.
    """
    plan = plan_of(network)
    if plan is not None:
        leaf = nn.Parameter(weights)
        leaf.grad = gradients
        plan.bound = None
        separate = _weights(plan)
        layers = separate.layers.copy()
        layers[:, 4:] = (layers[:, [0, 2]] - leaf.data_ptr()) // leaf.element_size()
        plan.bound = Weights(separate.members, layers, [leaf], [leaf.data_ptr()], separate.addresses)


def _weights(plan: Plan) -> Weights:
    """Find a network's weights and biases; a missing bias is one number, 0."""
    parameters = [layer._parameters[name] for layer in plan.layers for name in ("weight", "bias")]
    if plan.bound is not None and plan.bound.addresses == [p if p is None else p.data_ptr() for p in parameters]:
        return plan.bound
    parameters = [p if p is None else p.contiguous() for p in parameters]
    addresses = [p if p is None else p.data_ptr() for p in parameters]
    leaves = [p for p in parameters if p is not None]
    members, start, rows = len(leaves[0]), 0, []
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        size, shift = weight.numel(), 0 if bias is None else bias.numel()
        rows.append((size // members, shift // members, start, start + size))
        start += size + shift
    sizes = np.array(rows)
    known = [plan.zero.ctypes.data if address is None else address for address in addresses]
    layers = np.column_stack([known[::2], sizes[:, 0], known[1::2], *sizes.T[1:]])
    return Weights(members, layers, leaves, [leaf.data_ptr() for leaf in leaves], addresses)


def supports(network: nn.Module, v: Tensor) -> bool:
    """Whether `apply` can run a network on an input.

    It can on the CPU, in float32 and float64, for every network made of the package's layers, sums and reshapes. It
    has first derivatives only: for others, and for torch's function transforms, use ``network.reference``.
    """
    return v.device.type == "cpu" and v.dtype in (torch.float32, torch.float64) and plan_of(network) is not None


def rows_kept(network: nn.Module) -> int | None:
    """Numbers kept for each sample from the forward to the backward pass; None if the kernels cannot run a network."""
    plan = plan_of(network)
    return None if plan is None else plan.rows


def apply(network: nn.Module, v: Tensor) -> Tensor:
    """Apply a network by compiled kernels. Arguments, result and errors are those of the network's own call."""
    v, plan = network.check(v), plan_of(network)
    weights = _weights(plan)
    if torch.is_grad_enabled() and (v.requires_grad or any(leaf.requires_grad for leaf in weights.leaves)):
        return _Network.apply(plan, weights, v, *weights.leaves)
    return _run_forward(plan, weights, v, keep=False)[0]


class _Network(torch.autograd.Function):
    """A whole network as one differentiable function of fields, weights and biases."""

    @staticmethod
    def forward(ctx, plan: Plan, weights: Weights, v: Tensor, *leaves: Tensor) -> Tensor:
        u, ctx.arena = _run_forward(plan, weights, v, keep=True)
        ctx.plan, ctx.weights, ctx.shape = plan, weights, v.shape
        ctx.save_for_backward(*leaves)
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_u: Tensor) -> tuple[Tensor | None, ...]:
        leaves, to_input = ctx.saved_tensors, ctx.needs_input_grad[2]
        if [leaf.data_ptr() for leaf in leaves] != ctx.weights.places:
            raise RuntimeError("the network's parameters were replaced between its call and its backward pass")
        grad_v, gradient = _run_backward(ctx.plan, ctx.weights, grad_u, ctx.arena, to_input)
        if to_input:
            one_for_all = len(ctx.shape) == len(ctx.plan.shape) + 1
            grad_v = (_in_order(grad_v) if one_for_all else grad_v).view(ctx.shape)
        parts = gradient.split([leaf.numel() for leaf in leaves])
        gradients = [part.view(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        return None, None, grad_v, *gradients


def _run_forward(plan: Plan, weights: Weights, v: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
    """Return the output and the states, which ``keep`` makes fit for the backward pass."""
    members, points, alone = weights.members, len(plan.places), v.ndim == len(plan.shape) + 1
    batch = v.shape[0] if alone else v.shape[1]
    u = v.new_empty((batch, *plan.shape) if alone and members == 1 else (members, batch, *plan.shape))
    tile, tiles, padded = _tiles(plan, batch, v.dtype)
    workers = _workers(members * tiles)
    rows = plan.rows if keep else plan.scratch_rows
    arena = v.new_empty((1, members * padded * rows) if keep else (workers, tile * rows)).numpy()
    program, room = plan.program(keep), _room(plan, workers, v)
    fields = v.detach().contiguous().numpy().reshape(1 if alone else members, batch, points)
    results = u.numpy().reshape(members, batch, points)

    def work(worker: int) -> None:
        schedule = (rows, tile, worker, workers, int(keep))
        states = arena[0 if keep else worker]
        _call(kernels.forward, program, weights.layers, fields, results, states, room[worker], schedule)

    _share(work, workers)
    return u, arena[0]


def _run_backward(
    plan: Plan, weights: Weights, grad_u: Tensor, arena: np.ndarray, to_input: bool
) -> tuple[Tensor | None, Tensor]:
    """Return the gradients of the input, (members, batch, points), if asked for, and of the weights, as one vector."""
    members, points, numbers = weights.members, len(plan.places), sum(leaf.numel() for leaf in weights.leaves)
    batch = grad_u.shape[-len(plan.shape) - 1]
    grad_v = grad_u.new_empty((members, batch, points) if to_input else (0, 0, 0))
    tile, tiles, _ = _tiles(plan, batch, grad_u.dtype)
    groups = max(1, min(tiles, MOST_GROUPS, max(2, GROUP_NUMBERS // numbers)))
    workers = _workers(members * groups)
    gradients = grad_u.new_zeros(groups, numbers)
    scratch = grad_u.new_empty(workers, tile * plan.gradient_rows).numpy()
    program, room = plan.gradient_program(), _room(plan, workers, grad_u)
    arrays = grad_u.contiguous().numpy().reshape(members, batch, points), grad_v.numpy(), arena
    sums = gradients.numpy()

    def work(worker: int) -> None:
        schedule = (plan.rows, tile, worker, workers)
        _call(kernels.backward, program, weights.layers, *arrays, scratch[worker], room[worker], sums, schedule)

    _share(work, workers)
    return grad_v if to_input else None, _in_order(gradients)


def _room(plan: Plan, workers: int, like: Tensor) -> np.ndarray:
    """Return what filters need, for every thread."""
    return like.new_empty(workers, plan.room).numpy()


def _tiles(plan: Plan, batch: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """Return samples in a tile, tiles, and samples with the last block filled up. The batch alone decides."""
    lanes = kernels.BLOCK_BYTES // dtype.itemsize
    tile = plan.tile_blocks * lanes
    return tile, -(-batch // tile), -(-batch // lanes) * lanes


def _in_order(parts: Tensor) -> Tensor:
    """Sum over the first axis, from the first to the last whatever the number of threads."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _workers(jobs: int) -> int:
    return max(1, min(torch.get_num_threads(), jobs))


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """Threads of a process: a fork has none of its parent's."""
    return ThreadPoolExecutor(workers, thread_name_prefix="mnn")


def _share(work: Callable[[int], None], workers: int) -> None:
    """Do work(0) .. work(workers - 1), the first here and the others on threads."""
    if workers == 1:
        work(0)
        return
    others = [_pool(os.getpid(), workers - 1).submit(work, worker) for worker in range(1, workers)]
    work(0)
    for other in others:
        other.result()


_compiled: set[tuple] = set()


def _call(kernel: Callable, *arguments) -> None:
    """Call a kernel, compiled before for the type of its numbers: by one process at a time, the others load it."""
    key = kernel, arguments[2].dtype
    if key not in _compiled:
        with _alone(Path(kernel.stats.cache_path)), event.install_listener("numba:compile", _Announcement(key)):
            kernel.compile(tuple(numba.typeof(argument) for argument in arguments))
        _compiled.add(key)
    kernel(*arguments)


class _Announcement(event.Listener):
    """Says that a kernel is being compiled, which takes seconds; one that is in the cache is loaded in silence."""

    def __init__(self, key: tuple):
        self.kernel, self.dtype = key

    def on_start(self, event):
        """Log the kernel's own compilation, not those of the functions it calls."""
        if event.data["dispatcher"] is self.kernel:
            name = f"{self.kernel.__name__}, {self.dtype}"
            log.warning("compiling a kernel of the CPU path (%s), once on this machine: some ten seconds", name)

    def on_end(self, event):
        """Nothing to say."""


@contextmanager
def _alone(folder: Path):
    """Hold a lock among the processes that share a cache, where system and folder allow it."""
    with ExitStack() as stack:
        if fcntl is not None:
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                fcntl.flock(stack.enter_context(open(folder / "mnn_compiled.lock", "w")), fcntl.LOCK_EX)
        yield
