"""A student as ONNX: what computes vectors of cells without Python, in a browser for instance.

The graph takes raw counts in the order of the vocabulary and does everything that follows: scaling,
log1p, the network, and the step back to the teacher's vectors.
"""

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sclong_core.checkpoint import read_checkpoint_info
from sclong_core.errors import ConfigError
from sclong_core.expression.species import HUMAN, species_of_vocabulary
from sclong_core.files import atomic_folder, read_json, require_own_folder
from sclong_core.human_genes import human_genes
from sclong_core.model import Student, load_checkpoint
from sclong_core.vocabulary import GeneVocabulary

GRAPH, GENES = "student.onnx", "genes.json"
FORMAT = "sclong-student"
LEAST_COSINE = 0.9999
_OPSET = 20
_LARGE = 10_000
"""Numbers of a matrix from which on it is stored in 16 bits."""
_CHECKED_CELLS = 64

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ExportedStudent:
    """What an export wrote."""

    folder: Path
    """Holds the graph and the names of its genes."""
    cosine: float
    """The least cosine between a vector of ONNX Runtime and that of PyTorch, of the cells that were
    compared."""


def export_student(
    checkpoint: str | PathLike[str], folder: str | PathLike[str], *, overwrite: bool = False
) -> ExportedStudent:
    """Write a student as ``student.onnx``, with the names of its genes in ``genes.json``.

    Inputs of the graph: ``counts``, float32 ``(cells, genes)``, raw counts in the order of the
    vocabulary, 0 for a gene that was not measured; ``totals``, float32 ``(cells, 1)``, all counts
    of each cell, those of other genes too; ``measured``, float32 ``(1, genes)``, 1 where the data
    has the gene. Output: ``vectors``, float32 ``(cells, width)``.

    The graph is compared with the student before it takes its name, on cells drawn from what the
    student knows of its training cells, whole and cut to panels.

    Args:
        checkpoint: folder of a student.
        folder: to write.
        overwrite: replace an earlier export there.

    Raises:
        ConfigError: the model is no student, its input is rescaled to a maximum, the packages of
            ``sclong-core[onnx]`` are missing, or the graph's vectors are not the student's.
        CheckpointError: the checkpoint is damaged.
        InputError: something else is in place of ``folder``, or must not be replaced.
    """
    folder = Path(folder)
    require_own_folder(folder, _is_export, "an exported student", overwrite=overwrite)
    _require_packages()
    student = load_checkpoint(checkpoint, device="cpu")
    if not isinstance(student, Student):
        raise ConfigError(
            f"{checkpoint} is no student: make one of it with `sclong distill --teacher`"
        )
    if student.config.input.maximum is not None:
        raise ConfigError(
            "this student's input is rescaled to a maximum, which the exported graph does not do"
        )
    if student.vocabulary is None:
        raise ConfigError(f"{checkpoint} has no vocabulary: its genes have no names")
    info = read_checkpoint_info(checkpoint)
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        about = {
            "format": FORMAT,
            "format_version": 1,
            "checkpoint": info.digest,
            "origin": info.origin,
            "width": student.network.centre.numel(),
            **gene_names(student.vocabulary),
        }
        (temporary / GENES).write_text(json.dumps(about), encoding="utf-8")
        for bits in (8, 16):  # of the tables, most of a student: as few as are good enough
            (temporary / GRAPH).write_bytes(_graph(student, bits))
            cosine = _least_cosine(student, temporary / GRAPH)
            if cosine >= LEAST_COSINE:
                break
        else:
            raise ConfigError(
                f"the exported graph differs from the student: cosine {cosine:.5f} of their "
                f"vectors, and at least {LEAST_COSINE} is asked for"
            )
    return ExportedStudent(folder, cosine)


def gene_names(vocabulary: GeneVocabulary) -> dict[str, Any]:
    """All names by which genes of a vocabulary are found, each with its position.

    ``ids`` and ``symbols`` are the vocabulary's own, in order. ``approved`` are HGNC's symbols and
    ``other`` earlier symbols and aliases, where the vocabulary is human and no symbol of it is
    spelt alike; see :func:`sclong_core.expression.genes.match_genes` for the order in which they
    count.
    """
    approved: dict[str, int] = {}
    other: dict[str, int] = {}
    if species_of_vocabulary(vocabulary.ids) == HUMAN:
        for position, gene in enumerate(vocabulary.ids):
            first, *rest = human_genes().names_of(gene) or ("",)
            if first and not vocabulary.holds_symbol(first):
                approved[first] = position
            other.update({name: position for name in rest if not vocabulary.holds_symbol(name)})
    return {
        "ids": list(vocabulary.ids),
        "symbols": list(vocabulary.symbols),
        "approved": approved,
        "other": other,
    }


class _Nodes:
    """The nodes of a graph, added one after the other; names are made here."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node; returns the name of what it computes."""
        from onnx import helper  # noqa: PLC0415  # of an extra

        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: npt.ArrayLike) -> str:
        """Add numbers; large matrices in 16 bits."""
        from onnx import TensorProto  # noqa: PLC0415  # of an extra

        array = np.asarray(values, dtype=np.float32)
        if array.ndim < 2 or array.size <= _LARGE:
            return self._keep(array)
        return self.add("Cast", self._keep(array.astype(np.float16)), to=TensorProto.FLOAT)

    def table(self, values: torch.Tensor, bits: int) -> str:
        """Add a table ``(genes, rank)`` in 16 bits, or in 8 with a scale for each gene.

        A cell sums over hundreds of genes, so that what rounding does to each of them averages out.
        """
        rows = _numbers(values)
        if bits == 16:
            return self.constant(rows)
        scale = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float32).tiny) / 127
        whole = self._keep(np.rint(rows / scale[:, None]).astype(np.int8))
        return self.add("DequantizeLinear", whole, self._keep(scale.astype(np.float32)), axis=0)

    def _keep(self, array: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper  # noqa: PLC0415  # of an extra

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def linear(self, x: str, layer: nn.Linear) -> str:
        """A linear layer: ``(cells, in)`` to ``(cells, out)``."""
        product = self.add("MatMul", x, self.constant(_numbers(layer.weight.T)))
        bias: torch.Tensor | None = layer.bias
        return product if bias is None else self.add("Add", product, self.constant(_numbers(bias)))

    def norm(self, x: str, layer: nn.LayerNorm) -> str:
        """A layer normalisation of the last axis."""
        scale, shift = map(self.constant, (_numbers(layer.weight), _numbers(layer.bias)))
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=layer.eps)


def _graph(student: Student, bits: int) -> bytes:
    from onnx import TensorProto, checker, helper  # noqa: PLC0415  # of an extra

    network, g = student.network, _Nodes()
    known = g.add("Mul", "counts", "measured")
    scaled = g.add("Mul", known, g.constant(student.config.input.target_sum))
    one = g.constant(1.0)
    values = g.add("Log", g.add("Add", g.add("Div", scaled, "totals"), one))
    found = g.add("Greater", values, g.constant(0.0))
    presence = g.add("Cast", found, to=TensorProto.FLOAT)
    sums = []
    for shown, mean, table in (
        (values, network.mean, network.by_value),
        (presence, network.rate, network.by_presence),
    ):
        rows = g.table(table, bits)
        expected = g.add("MatMul", g.add("Mul", "measured", g.constant(_numbers(mean))), rows)
        sums.append(g.add("Sub", g.add("MatMul", shown, rows), expected))
    joined = g.add("Concat", *sums, axis=1)
    scaled_sums = g.add("Div", joined, g.constant(_numbers(network.sum_scale)))
    x = g.norm(g.linear(scaled_sums, network.enter), network.enter_norm)
    for block in network.blocks:
        norm, widen, _, narrow = cast(tuple[nn.LayerNorm, nn.Linear, nn.GELU, nn.Linear], block)
        x = g.add("Add", x, g.linear(g.add("Gelu", g.linear(g.norm(x, norm), widen)), narrow))
    left = g.linear(g.norm(x, network.leave_norm), network.leave)
    whitened = g.add("Add", g.linear(scaled_sums, network.direct), left)
    decoded = g.add("MatMul", whitened, g.constant(_numbers(network.decoding)))
    g.add("Add", decoded, g.constant(_numbers(network.centre)), output="vectors")

    genes, width = network.mean.numel(), network.centre.numel()
    shapes: dict[str, tuple[str | int, int]] = {
        "counts": ("cells", genes),
        "totals": ("cells", 1),
        "measured": (1, genes),
    }
    model = helper.make_model(
        helper.make_graph(
            g.nodes,
            FORMAT,
            [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in shapes.items()],
            [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ("cells", width))],
            g.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=9,
        producer_name="sclong-core",
    )
    checker.check_model(model)
    written: bytes = model.SerializeToString()
    return written


def _numbers(tensor: torch.Tensor) -> Floats:
    return tensor.detach().float().numpy()


def _least_cosine(student: Student, graph: Path) -> float:
    """The least cosine between vectors of the graph and of the student."""
    from onnxruntime import InferenceSession  # noqa: PLC0415  # of an extra

    draw = np.random.default_rng(0)
    rates = np.clip(_numbers(student.network.rate), 0.01, 1)
    counts = draw.poisson(rates, (_CHECKED_CELLS, len(rates))) * draw.geometric(
        0.5, (_CHECKED_CELLS, len(rates))
    )
    counts[:, 0] += 1  # no cell is empty
    session = InferenceSession(graph, providers=["CPUExecutionProvider"])
    least = 1.0
    for share in (1.0, 0.3):
        measured = draw.random(len(rates)) < share
        measured[0] = True
        shown = (counts * measured).astype(np.float32)
        totals = counts.sum(axis=1, keepdims=True, dtype=np.float32)
        inputs = {"counts": shown, "totals": totals, "measured": measured[None].astype(np.float32)}
        (found,) = session.run(["vectors"], inputs)
        expression = torch.log1p(torch.from_numpy(shown / totals) * student.config.input.target_sum)
        with torch.inference_mode():
            wanted = student.cell_vectors(expression, torch.from_numpy(measured)).embedding
        cosines = torch.cosine_similarity(torch.from_numpy(found), wanted.float(), dim=1)
        least = min(least, float(cosines.min()))
    return least


def _is_export(folder: Path) -> bool:
    about = read_json(folder / GENES) if (folder / GENES).is_file() else None
    return isinstance(about, dict) and about.get("format") == FORMAT


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401, PLC0415  # of an extra
        import onnxruntime  # noqa: F401, PLC0415  # of an extra
    except ImportError as error:
        raise ConfigError(
            "exporting a student needs onnx and onnxruntime: pip install 'sclong-core[onnx]'"
        ) from error
