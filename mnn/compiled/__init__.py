"""The fast path of the networks on the CPU: compiled kernels that run a whole network, forward or backward, at once."""

from mnn.compiled.function import apply, bind, rows_kept, supports

__all__ = ["apply", "bind", "rows_kept", "supports"]
