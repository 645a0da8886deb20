"""Exponential integrals E_2 and E_3, exactly and as one sum of decaying exponentials."""

import numpy as np
from scipy.special import exp1


def e2_e3(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E_2 and E_3 of non-negative numbers, by recurrence from E_1."""
    decay = np.exp(-z)
    e2 = decay - z * exp1(np.maximum(z, np.finfo(float).tiny))
    return e2, (decay - z * e2) / 2


def exponential_sum(terms: int, shortest: float, nodes: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Rates and weights with E_2(z) = sum of weights exp(-rates z), and E_3 with the weights over the rates.

    E_2(z) is the integral of exp(-z t) / t^2 over t > 1. In log t Gauss-Legendre points resolve it down to the
    distance ``shortest``; balanced truncation (the leading eigenvectors of the Gramian of the exponentials) then
    keeps as few terms as possible. The weights stay positive.

    Parameters
    ----------
    terms : int
        Exponentials to keep.
    shortest : float
        Shortest distance at which E_2 has to be good; E_3 is good down to zero.
    nodes : int
        Points of the quadrature before truncation.

    Returns
    -------
    rates, weights : (terms,) float64
        With 16 terms and ``shortest`` 3e-5 the error of E_3 is below 1e-9 for every z >= 0.
    """
    point, width = np.polynomial.legendre.leggauss(nodes)
    span = np.log(40 / shortest)
    rate = np.exp((point + 1) / 2 * span)
    amplitude = np.sqrt(width * span / 2 / rate)
    gramian = np.outer(amplitude, amplitude) / np.add.outer(rate, rate)
    basis = np.linalg.eigh(gramian)[1][:, ::-1][:, :terms]
    rates, rotation = np.linalg.eigh(basis.T @ (rate[:, None] * basis))
    return rates, (rotation.T @ (basis.T @ amplitude)) ** 2
