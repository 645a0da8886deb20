"""The compiled kernels as a function of torch: dispatch, gradients, threads."""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
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


def supports(network: nn.Module, v: Tensor) -> bool:
    """Whether `apply` can run a network on an input.

    It can on the CPU, in float32 and float64, for every network made of the package's layers, sums and reshapes. It
    has first derivatives only: for others, and for torch's function transforms, use ``network.reference``.
    """
    return v.device.type == "cpu" and v.dtype in (torch.float32, torch.float64) and plan_of(network) is not None


def apply(network: nn.Module, v: Tensor) -> Tensor:
    """Apply a network by compiled kernels. Arguments, result and errors are those of the network's own call."""
    v = network.check(v)
    plan, shape = plan_of(network), network.spec.shape
    alone = v.ndim == len(shape) + 1
    fields = v.reshape(1 if alone else len(v), v.shape[-len(shape) - 1], len(plan.points))
    parameters = [
        p if p is None or p.is_contiguous() else p.contiguous()
        for layer in plan.layers
        for p in (layer._parameters["weight"], layer._parameters["bias"])
    ]
    if torch.is_grad_enabled() and (v.requires_grad or any(p is not None and p.requires_grad for p in parameters)):
        u = _Network.apply(plan, fields, *parameters)
    else:
        u = _run_forward(plan, fields, parameters, keep=False)[0]
    u = u.reshape(*u.shape[:2], *shape)
    return u[0] if alone and len(u) == 1 else u


class _Network(torch.autograd.Function):
    """A whole network as one differentiable function of fields, weights and biases."""

    @staticmethod
    def forward(ctx, plan: Plan, fields: Tensor, *parameters: Tensor | None) -> Tensor:
        u, ctx.arena = _run_forward(plan, fields, parameters, keep=True)
        ctx.plan, ctx.shared = plan, len(fields) < len(u)
        ctx.save_for_backward(*parameters)
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_u: Tensor) -> tuple[Tensor | None, ...]:
        to_input = ctx.needs_input_grad[1]
        grad_fields, gradients = _run_backward(ctx.plan, grad_u.contiguous(), ctx.saved_tensors, ctx.arena, to_input)
        if to_input and ctx.shared:
            grad_fields = _in_order(grad_fields).unsqueeze(0)
        return None, grad_fields if to_input else None, *gradients


def _run_forward(plan: Plan, fields: Tensor, parameters: Sequence, keep: bool) -> tuple[Tensor, Tensor]:
    fields = fields.detach().contiguous()
    members, (_, batch, points) = len(parameters[0]), fields.shape
    u = fields.new_empty(members, batch, points)
    layers = _layers(plan, parameters)
    tile, tiles, padded = _tiles(plan, fields)
    workers = _workers(members * tiles)
    rows = plan.rows if keep else plan.scratch_rows
    arena = fields.new_empty(*((members * padded * rows,) if keep else (workers, tile * rows)))
    program = plan.program(keep)

    def work(worker: int) -> None:
        place = arena if keep else arena[worker]
        schedule = (rows, tile, worker, workers, int(keep))
        _call(kernels.forward, program, layers, fields.numpy(), u.numpy(), place.numpy(), schedule)

    _share(work, workers)
    return u, arena


def _run_backward(plan: Plan, grad_u: Tensor, parameters: Sequence, arena: Tensor, to_input: bool):
    """Return the gradients of the fields, of each member, and those of weights and biases."""
    members = len(grad_u)
    grad_fields = torch.empty_like(grad_u) if to_input else grad_u.new_empty(0, 0, 0)
    layers = _layers(plan, parameters)
    numbers = sum(p.numel() for p in parameters if p is not None)
    tile, tiles, _ = _tiles(plan, grad_u)
    groups = max(1, min(tiles, MOST_GROUPS, max(2, GROUP_NUMBERS // numbers)))
    workers = _workers(members * groups)
    gradients = grad_u.new_zeros(groups, numbers)
    scratch = grad_u.new_empty(workers, tile * plan.gradient_rows)
    arrays = [tensor.numpy() for tensor in (grad_u, grad_fields, arena)]

    def work(worker: int) -> None:
        schedule = (plan.rows, tile, worker, workers)
        program = plan.gradient_program()
        _call(kernels.backward, program, layers, *arrays, scratch[worker].numpy(), gradients.numpy(), schedule)

    _share(work, workers)
    parts = iter(_in_order(gradients).split([p.numel() for p in parameters if p is not None]))
    return grad_fields, [None if p is None else next(parts).view(p.shape) for p in parameters]


def _layers(plan: Plan, parameters: Sequence[Tensor | None]) -> np.ndarray:
    """Addresses, sizes and places of weights and biases for the kernels; a missing bias is one number, 0."""
    members, start, rows = len(parameters[0]), 0, []
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        size, shift = weight.numel(), 0 if bias is None else bias.numel()
        address = plan.zero.ctypes.data if bias is None else bias.data_ptr()
        rows.append((weight.data_ptr(), size // members, address, shift // members, start, start + size))
        start += size + shift
    return np.array(rows, dtype=np.int64)


def _tiles(plan: Plan, fields: Tensor) -> tuple[int, int, int]:
    """Return samples in a tile, tiles, and samples with the last block filled up. The batch alone decides."""
    lanes = kernels.BLOCK_BYTES // fields.element_size()
    tile, batch = plan.tile_blocks * lanes, fields.shape[1]
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
            log.warning("compiling a kernel of the CPU path (%s), once on this machine: a few seconds", name)

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
