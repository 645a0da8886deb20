"""Algorithm 4 once more, in numpy on grids of boxes: shifts and reshapes instead of tables. An independent reference.

A state is an array (channels, *grid of boxes); weights come from a state dict by their names.
"""

import itertools

import numpy as np


def cut(state, size):
    """ReshapeT: (channels, *n) to (size^d channels, *n / size), each box's entries row-major before its channels."""
    channels, *grid = state.shape
    d = len(grid)
    split = state.reshape(channels, *(k for n in grid for k in (n // size, size)))
    inner = [2 + 2 * axis for axis in range(d)]
    outer = [1 + 2 * axis for axis in range(d)]
    return split.transpose(*inner, 0, *outer).reshape(size**d * channels, *(n // size for n in grid))


def join(state, size):
    """ReshapeM, the inverse of `cut`."""
    _, *grid = state.shape
    d = len(grid)
    split = state.reshape(*([size] * d), -1, *grid)
    order = [d, *(i for axis in range(d) for i in (d + 1 + axis, axis))]
    return split.transpose(order).reshape(-1, *(n * size for n in grid))


def multiply(matrix, state):
    """Apply one matrix (out, in), or one for every box (boxes, out, in), to the channels of every box."""
    flat = state.reshape(state.shape[0], -1)
    product = matrix @ flat if matrix.ndim == 2 else np.einsum("boi,ib->ob", matrix, flat)
    return product.reshape(-1, *state.shape[1:])


def shift(state, offset, periodic):
    """Return the state whose box i holds box i + offset, zeros beyond the grid unless it is periodic."""
    moved = state
    for axis, o in enumerate(offset, start=1):
        moved = np.roll(moved, -o, axis=axis)
        if not periodic and o:
            moved = np.moveaxis(moved.copy(), axis, 0)
            moved[slice(-o, None) if o > 0 else slice(None, -o)] = 0
            moved = np.moveaxis(moved, 0, axis)
    return moved


class PlainNetwork:
    """A network of one member from its specification and its state dict, applied to one sample."""

    def __init__(self, spec, weights):
        self.spec, self.weights = spec, {name: tensor[0].numpy() for name, tensor in weights.items()}

    def phi(self, x):
        return np.maximum(x, 0) if self.spec.activation == "relu" else x

    def add_bias(self, name, y):
        bias = self.weights.get(f"{name}.bias")
        if bias is None:
            return y
        if np.ndim(bias) and self.local(name):
            return y + bias.reshape(len(bias), -1).T.reshape(y.shape)
        return y + bias.reshape(-1, *[1] * (y.ndim - 1))

    def local(self, name):
        return self.weights[f"{name}.weight"].ndim == 4

    def lck(self, name, x):
        """Kernel layer: sum over the window's offsets of a matrix times the shifted state."""
        weight = self.weights[f"{name}.weight"]
        d = x.ndim - 1
        taps = weight.shape[-3]
        width = (round(taps ** (1 / d)) - 1) // 2
        offsets = itertools.product(range(-width, width + 1), repeat=d)
        periodic = self.spec.padding == "periodic"
        y = sum(multiply(weight[..., t, :, :], shift(x, o, periodic)) for t, o in enumerate(offsets))
        return self.add_bias(name, y)

    def lcr(self, name, x, size):
        weight = np.moveaxis(self.weights[f"{name}.weight"], -3, -2)
        return self.add_bias(name, multiply(weight.reshape(*weight.shape[:-2], -1), cut(x, size)))

    def lci(self, name, x, size):
        weight = self.weights[f"{name}.weight"]
        matrix = weight.reshape(*weight.shape[:-3], -1, weight.shape[-1])
        return join(self.add_bias(name, multiply(matrix, x)), size)

    def chain(self, prefix, x, residual):
        for k in range(1, self.spec.depth + 1):
            y = self.phi(self.lck(f"{prefix}.{k}", x))
            x = x + y if residual else y
        return x

    def kernels(self, level, x):
        y = self.chain(f"kernel.{level}", x, self.spec.kernel == "residual")
        return y + self.chain(f"parallel.{level}", x, False) if self.spec.kernel == "parallel" else y

    def __call__(self, v):
        spec = self.spec
        xi = cut(v[None], spec.box_size)
        for k in range(1, spec.depth):
            xi = self.phi(self.lck(f"adjacent.{k}", xi))
        near = join(self.lck(f"adjacent.{spec.depth}", xi), spec.box_size)
        far = self.nested(v) if spec.architecture == "mnn-h2" else self.separate(v)
        return (near + far)[0]

    def nested(self, v):
        spec, L = self.spec, self.spec.levels
        transfer = self.phi if spec.transfer == "nonlinear" else lambda x: x
        zeta = {L: self.lcr(f"restriction.{L}", v[None], spec.box_size)}
        for level in range(L - 1, 1, -1):
            zeta[level] = transfer(self.lcr(f"restriction.{level}", zeta[level + 1], 2))
            for k in range(1, spec.transfer_depth):
                zeta[level] = transfer(self.lcr(f"restriction_more.{level}.{k}", zeta[level], 1))
        chi = np.zeros_like(zeta[2])
        for level in range(2, L):
            chi = chi + self.kernels(level, zeta[level])
            for k in range(1, spec.transfer_depth):
                chi = transfer(self.lcr(f"interpolation_more.{level}.{k}", chi, 1))
            chi = transfer(self.lci(f"interpolation.{level}", chi, 2))
        return self.lci(f"interpolation.{L}", chi + self.kernels(L, zeta[L]), spec.box_size)

    def separate(self, v):
        total = 0
        for level in range(2, self.spec.levels + 1):
            size = self.spec.shape[0] // 2**level
            zeta = self.kernels(level, self.lcr(f"restriction.{level}", v[None], size))
            total = total + self.lci(f"interpolation.{level}", zeta, size)
        return total
