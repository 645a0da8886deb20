"""Speed and accuracy of every solver against a straightforward one; run ``python -m benchmarks.solvers``."""
