"""One thread for every linear algebra library, in the tests and in all they start: small matrices, many processes."""

import os

for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
