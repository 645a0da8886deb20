"""Parameter counts: of a built network, and in closed form."""

from mnn.boxes import ADJACENT_BAND, band
from mnn.spec import NetworkSpec


def count_parameters(network) -> int:
    """Count the weights and biases of one member of a network."""
    return sum(parameter.numel() for parameter in network.parameters()) // network.members


def closed_form(spec: NetworkSpec) -> dict[str, int]:
    """Return the parameters of each part of a network, biases included, without building it.

    The sums of (3.1) and (3.5) of the paper with biases, in any dimension: with q = 2^d, M = m^d, w_l = (2 n_b + 1)^d
    and P_l = q^l where a layer is locally connected, else 1, MNN-H² has

    * adjacent: K layers of P_L (3^d M² + M),
    * restriction: P_L (M r + r) on level L and P_l (q r² + r) above,
    * kernel: K layers of P_l (w_l r² + r) on every level,
    * interpolation: P_L (r M + M) on level L and P_l (q r² + q r) above,

    and MNN-H on every level restriction P_l (W r + r) and interpolation P_l (r W + W), W = (m 2^(L-l))^d.

    Parameters
    ----------
    spec : NetworkSpec

    Returns
    -------
    dict
        Parts "adjacent", "restriction", "kernel" and "interpolation" -> parameters of one member.
    """
    return {
        "adjacent": sum(_adjacent(spec, k) for k in range(1, spec.depth + 1)),
        "restriction": sum(_restriction(spec, level) for level in spec.level_range()),
        "kernel": sum(_kernel(spec, level) for level in spec.level_range()),
        "interpolation": sum(_interpolation(spec, level) for level in spec.level_range()),
    }


def _sets(spec: NetworkSpec, level: int, part: str, k: int = 1) -> int:
    """P_l: sets of weights of a layer, one or as many as boxes."""
    return 2 ** (level * spec.dimension) if spec.is_local(part, k) else 1


def _adjacent(spec: NetworkSpec, k: int) -> int:
    points = spec.box_size**spec.dimension
    window = (2 * ADJACENT_BAND + 1) ** spec.dimension
    return _sets(spec, spec.levels, "adjacent", k) * (window * points**2 + spec.bias * points)


def _kernel(spec: NetworkSpec, level: int) -> int:
    chains = 2 if spec.kernel == "parallel" else 1
    window = (2 * band(level) + 1) ** spec.dimension
    return chains * spec.depth * _sets(spec, level, "kernel") * (window * spec.rank**2 + spec.bias * spec.rank)


def _below(spec: NetworkSpec, level: int) -> tuple[int, int]:
    """Return what restriction and interpolation of a level join its boxes to: (children or points, channels each)."""
    if spec.architecture == "mnn-h2" and level < spec.levels:
        return 2**spec.dimension, spec.rank
    return (spec.shape[0] // 2**level) ** spec.dimension, 1


def _restriction(spec: NetworkSpec, level: int) -> int:
    taps, channels = _below(spec, level)
    return _sets(spec, level, "restriction") * (taps * channels * spec.rank + spec.bias * spec.rank)


def _interpolation(spec: NetworkSpec, level: int) -> int:
    taps, channels = _below(spec, level)
    return _sets(spec, level, "interpolation") * (taps * channels * spec.rank + spec.bias * taps * channels)
