"""Solvers that make the data: ground states, radiative transfer and Kohn-Sham densities, batch by batch."""

from solvers.problem import ConvergenceError, Problem, Quantity, Solution
from solvers.registry import problem

__all__ = ["ConvergenceError", "Problem", "Quantity", "Solution", "problem"]
