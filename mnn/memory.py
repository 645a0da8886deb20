"""Memory: how much is free, what a training takes of it, and the sizes that fit."""

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from mnn.compiled import rows_kept
from mnn.parameters import layer_sizes

FIELDS_A_STEP = 6
"""Fields of a sample in a step, beside the network's states: input, target, result, residual and two gradients."""
COPIES = 3
"""Times that the samples are held while they are read and normalised."""
RESERVE = 45 * 2**20
"""Bytes that loading the compiled kernels takes, before the first step on the CPU."""
USED = 0.9
"""Share of what is free that a size which fits may take."""


def exhausted(error: BaseException) -> bool:
    """Whether an exception says that there is no memory left, on the device or in the process."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)


def free(device: torch.device) -> int:
    """Bytes that may still be taken on a device; on the CPU by this process, within its limits and its group's."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return max(0, min(_limits(), default=2**63) - RESERVE)


def _limits() -> Iterator[int]:
    with suppress(OSError, ImportError, KeyError):
        import resource

        status, machine = _table("/proc/self/status"), _table("/proc/meminfo")
        yield machine["MemAvailable"]
        for kind, used in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
            if (most := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY:
                yield most - status[used]
    with suppress(OSError, ValueError, KeyError):  # a container or a job of a cluster
        group = Path("/sys/fs/cgroup" + Path("/proc/self/cgroup").read_text().split("::")[-1].strip())
        numbers = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        cached = int(numbers["inactive_file"]) + int(numbers["active_file"])  # files in memory give way
        yield int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()) + cached


def _table(path: str) -> dict[str, int]:
    """Read lines `name: number kB` as bytes."""
    lines = (line.split() for line in Path(path).read_text().splitlines())
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if words[-1] == "kB"}


def step_bytes(network: nn.Module, device: torch.device) -> int:
    """Bytes that a training step takes for each sample and member, weights apart."""
    states = rows_kept(network) if device.type == "cpu" else None
    if states is None:  # plain torch keeps what every layer has gathered, and its result before and after the ReLU
        states = sum(size.boxes * size.taps * size.inputs + 2 * size.states for size in layer_sizes(network.spec))
    return 4 * (states + FIELDS_A_STEP * math.prod(network.spec.shape))


def fits(network: nn.Module, batch_size: int, room: int, device: torch.device) -> bool:
    """Whether a step of all members fits into ``room`` bytes."""
    return step_bytes(network, device) * network.members * batch_size <= room


def sizes_that_fit(network: nn.Module, batch_size: int, room: int, device: torch.device) -> str:
    """Say in one line how much a step takes, and how many members or samples fit into ``room`` bytes."""
    each = step_bytes(network, device)
    pairs = int(USED * room / each)
    sizes = {"members": pairs // batch_size, "batch_size": pairs // network.members}
    enough = " or ".join(f"{name} {size}" for name, size in sizes.items() if size) or "not one sample"
    asked = f"{network.members} members at batch_size {batch_size} take {in_words(each * network.members * batch_size)}"
    return f"memory: {asked} a step, {in_words(room)} free on {device}: {enough} would fit"


def samples_that_fit(count: int, shape: tuple[int, ...], room: int) -> str:
    """Say in one line how many samples of float32 fields can be read into ``room`` bytes."""
    each = COPIES * 2 * 4 * math.prod(shape)
    asked = f"{count} samples of {' x '.join(map(str, shape))} points take {in_words(each * count)}"
    return f"memory: {asked}, {in_words(room)} free: n_train {int(USED * room / each)} would fit"


def in_words(size: int) -> str:
    """Write a number of bytes in GB or MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
