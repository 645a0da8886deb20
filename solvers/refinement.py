"""Trigonometric interpolation from a uniform periodic grid to a finer one, by matrix products of half the cost.

Interpolation commutes with a shift by half a period. The sum and the difference of the two halves of an axis are
therefore interpolated apart, each by a matrix half as long and half as wide, and sum and difference of the results are
the halves of the interpolant.
"""

import numba
import numpy as np

from solvers.spectral import fourier_basis

NONE = np.empty((0, 0))
WORK = 6
"""Rows of the work array of `refine`."""


def refinement(coarse: tuple[int, ...], fine: tuple[int, ...]) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Matrices for `refine`, even and odd, of three axes; those of missing axes, in front, are 1 x 1.

    Parameters
    ----------
    coarse, fine : tuple of int
        Grid points along each axis, one to three axes; nowhere fewer in ``fine``.
    """
    axes = [_halves(m, n) for m, n in zip(coarse, fine, strict=True) if n > 1]
    return ((np.ones((1, 1)), NONE),) * (3 - len(axes)) + tuple(axes)


def _halves(m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices (n/2, m/2) for half the sum and half the difference of the halves; (n, m) and nothing for odd m or n."""
    coarse, fine = fourier_basis(m, m)[0], fourier_basis(n, m)[0]
    whole = fine @ (coarse.T / m)
    if m % 2 or n % 2:
        return whole, NONE
    own, other = whole[: n // 2, : m // 2], whole[: n // 2, m // 2 :]
    return (own + other) / 2, (own - other) / 2


_compile = numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@_compile
def refine(matrices, source, target, space):
    """Interpolate ``source`` (rows, coarse points) into ``target`` (rows, fine points).

    ``space`` is a work array of `WORK` rows of at least as many numbers as ``target`` has.
    """
    given, before, after = source.reshape(-1), source.size, 1
    for axis in range(2, -1, -1):
        even, odd = matrices[axis]
        if even.size == 1 and axis < 2:
            continue
        parts = 2 if odd.size > 0 else 1
        wanted = parts * even.shape[0]
        before //= parts * even.shape[1]
        last = axis == 0 or matrices[axis - 1][0].size == 1
        made = target.reshape(-1) if last else space[4 + axis % 2, : before * wanted * after]
        _apply(even, odd, given, made, before, after, space)
        given, after = made, after * wanted


@_compile
def _apply(even, odd, given, made, before, after, space):
    """Interpolate along one axis, with ``after`` numbers between its neighbouring points."""
    n, m = even.shape
    if odd.size == 0:
        _multiply(even, given, made, before, after)
        return
    count = before * m * after
    plus, minus = space[0, :count], space[1, :count]
    _fold(given, plus, minus, before)
    count = before * n * after
    sums, differences = space[2, :count], space[3, :count]
    _multiply(even, plus, sums, before, after)
    _multiply(odd, minus, differences, before, after)
    _unfold(sums, differences, made, before)


@_compile
def _multiply(matrix, given, made, before, after):
    n, m = matrix.shape
    if after == 1:
        np.dot(given.reshape(before, m), matrix.T, made.reshape(before, n))
        return
    blocks, results = given.reshape(before, m, after), made.reshape(before, n, after)
    for index in range(before):
        np.dot(matrix, blocks[index], results[index])


@_compile
def _fold(given, plus, minus, before):
    """Sum and difference of the halves of every one of ``before`` parts of ``given``."""
    size = plus.size // before
    halves = given.reshape(before, 2, size)
    sums, differences = plus.reshape(before, size), minus.reshape(before, size)
    for index in range(before):
        for i in range(size):
            first, second = halves[index, 0, i], halves[index, 1, i]
            sums[index, i] = first + second
            differences[index, i] = first - second


@_compile
def _unfold(plus, minus, made, before):
    """The inverse of `_fold`, but for a factor 2."""
    size = plus.size // before
    halves = made.reshape(before, 2, size)
    sums, differences = plus.reshape(before, size), minus.reshape(before, size)
    for index in range(before):
        for i in range(size):
            first, second = sums[index, i], differences[index, i]
            halves[index, 0, i] = first + second
            halves[index, 1, i] = first - second
