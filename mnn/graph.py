"""A surrogate as one graph of plain torch operations, for programs that have torch or ONNX but not this package."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from mnn.surrogate import Surrogate

METADATA = "mnn.json"
"""File inside a .pt2, and key inside an .onnx, that says on which grid the map lives and in which units."""


class PhysicalNetwork(nn.Module):
    """Normalisation, network and back, from fields in physical units to fields in physical units.

    Parameters
    ----------
    surrogate : Surrogate
    member : "mean" or int
        The mean of all members' outputs, or one member's.
    """

    def __init__(self, surrogate: Surrogate, member: int | str = "mean"):
        super().__init__()
        self.surrogate, self.member, self.network = surrogate, member, surrogate.network

    def forward(self, field: Tensor) -> Tensor:
        """Map (batch, *shape) to (batch, *shape), float32; plain torch, since compiled kernels cannot be traced."""
        return self.surrogate.apply(self.network.reference, field, self.member)


def trace(surrogate: Surrogate, member: int | str = "mean") -> torch.export.ExportedProgram:
    """Trace a surrogate on the CPU, with any batch size."""
    batch = {"field": {0: torch.export.Dim("batch", min=1)}}
    return torch.export.export(PhysicalNetwork(surrogate, member).eval(), (probe(surrogate),), dynamic_shapes=batch)


def probe(surrogate: Surrogate, count: int = 3) -> Tensor:
    """Return fields like those trained on in mean and spread, (count, *shape), and otherwise noise."""
    noise = torch.randn(count, *surrogate.shape, generator=torch.Generator().manual_seed(0))
    return surrogate.normalisation.input.invert(noise)


def write_torch(path: str | Path, program: torch.export.ExportedProgram, metadata: dict) -> None:
    """Write the format of ``torch.export``, with the metadata as an extra file ``mnn.json``."""
    torch.export.save(program, path, extra_files={METADATA: json.dumps(metadata)})


def write_onnx(path: str | Path, program: torch.export.ExportedProgram, metadata: dict) -> None:
    """Write ONNX, input and output named after the fields, with the metadata as the property ``mnn.json``."""
    names = {f"{side}_names": [metadata[side]["name"]] for side in ("input", "output")}
    onnx = torch.onnx.export(program, (), dynamo=True, verbose=False, **names)
    onnx.model.metadata_props[METADATA] = json.dumps(metadata)
    onnx.save(path)


def run_torch(path: str | Path, field: Tensor) -> Tensor:
    """Apply an exported file to fields."""
    return torch.export.load(path).module()(field)


def run_onnx(path: str | Path, field: Tensor) -> Tensor:
    """Apply an ONNX file to fields by the reference implementation of its operators."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(path)
    (name,) = (given.name for given in model.graph.input)
    (result,) = ReferenceEvaluator(model).run(None, {name: field.numpy()})
    return torch.from_numpy(result)
