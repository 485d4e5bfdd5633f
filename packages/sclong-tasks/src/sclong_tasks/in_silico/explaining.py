"""Which genes make the vectors of a group of cells what they are: ``sclong explain``.

A cell's score is the cosine of its vector with the direction in which its group lies from the other
groups. Each cell is compared with a cell of another group, its pair. Integrated gradients
(Sundararajan et al., 2017) share the difference of the two scores out among the genes, along the
straight line from the pair to the cell; pairs drawn from data make these expected gradients (Erion
et al., 2021). Occlusion gives a gene of the cell the value of the pair, and computes the vector
again.

A readout also reads whether a gene is expressed, which has no slope; on the line it goes from that
of the pair to that of the cell like a value.

Shapes: n pairs, g genes of the vocabulary, w width of a vector.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import sparse
from scipy.stats import false_discovery_control, spearmanr, wilcoxon
from torch import Tensor, nn
from torch.nn import functional

from sclong_core.embedding.attention import AttentionReader
from sclong_core.embedding.inference import vocabulary_of
from sclong_core.embedding.pooling import check_pool
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import ReadingOptions
from sclong_core.model import ScLong
from sclong_core.progress import cell_progress
from sclong_tasks.annotation.vectors import Embedder, keep_vectors
from sclong_tasks.cells import obs_column
from sclong_tasks.in_silico.genes import GeneNames
from sclong_tasks.in_silico.moving import Floats, VectorReader, read_expression, unit

_LOG = logging.getLogger("sclong")
EXPLANATION = "sclong_explanation"
"""Of ``uns``: the table, one row a group, and what made them."""
FEWEST_CELLS = 20
COLUMNS = (
    "group", "gene", "rank", "attribution", "low", "high", "p", "q", "beyond_like_genes",
    "occlusion", "expression", "expression_elsewhere", "detection", "detection_elsewhere",
)  # fmt: skip
_LIKE = 100
_DRAWS = 500
_IN_MEMORY = Path("adata")
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ExplainOptions:
    """What is asked for; see :func:`explain`."""

    by: str
    top: int = 20
    cells: int = 100
    steps: int = 16
    seed: int = 0
    batch_size: int = 64
    progress: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        for name in ("top", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        if self.cells < FEWEST_CELLS // 2:
            raise ConfigError(f"cells must be at least {FEWEST_CELLS // 2}, not {self.cells}")
        if self.seed < 0:
            raise ConfigError(f"the seed must not be negative, and is {self.seed}")


def explain(
    adata: anndata.AnnData,
    *,
    by: str,
    checkpoint: str | None = None,
    device: str = "auto",
    copy: bool = False,
    **options: Any,
) -> anndata.AnnData | None:
    """Say which genes make the vectors of each group of cells what they are.

    Adds ``uns["sclong_explanation"]``: ``table``, a row a group and gene with the columns of
    :data:`COLUMNS`, and ``groups``, a row a group; and the vectors of the cells to
    ``obsm["X_sclong"]`` unless they are there.

    Args:
        adata: counts or log1p values.
        by: column of ``obs`` whose groups are explained, each beside all others.
        checkpoint: folder or hub id; the model that comes with the package if None.
        device: to compute on.
        copy: return a copy and leave ``adata`` as it is.
        **options: ``top``: genes of each group that are also occluded (20). ``cells``: pairs of
            each group, drawn by ``seed`` (100). ``steps`` of the integral (16). ``batch_size``,
            ``progress``; and how cells are read, see
            :class:`sclong_core.expression.ReadingOptions`.

    Returns:
        The copy, or None.

    Raises:
        ConfigError: an option is impossible.
        InputError: a column or cell cannot be used, or fewer than two groups have 20 cells.
    """
    reading = {n: options.pop(n) for n in ReadingOptions.__annotations__ if n in options}
    chosen = ExplainOptions(by, **options)
    written = adata.copy() if copy else adata
    embedder = Embedder(checkpoint, device=device, progress=chosen.progress, **reading)
    explain_cells(written, embedder, chosen, _IN_MEMORY)
    return written if copy else None


def explain_cells(
    adata: anndata.AnnData, embedder: Embedder, options: ExplainOptions, path: Path
) -> dict[str, Any]:
    """:func:`explain` in place, with a model at hand; returns what it put into ``uns``."""
    names = obs_column(adata.obs, [options.by], "--by", path)
    groups = _halves(names, options)
    with embedder.prepare(adata, path) as cells:
        vectors = embedder.vectors_of(adata, path, cells)
        pool = vectors.encoder.partition(" ")[2]
        check_pool(pool)
        reader = VectorReader(embedder.model, pool, cells)  # type: ignore[arg-type]  # checked
        genes = GeneNames(cells.match, vocabulary_of(embedder.model), cells.organism)
        units = unit(np.asarray(vectors.vectors, dtype=np.float32))
        rows = np.unique(np.concatenate([shown for _, shown in groups.values()]))
        expression = read_expression(cells, rows)
        total = sum(min(len(shown), options.cells) for _, shown in groups.values())
        with cell_progress("explaining", total, shown=options.progress) as advance:
            found = [
                _explained(
                    name,
                    _direction(units, groups, name),
                    _pairs(expression, rows, groups, name, options),
                    reader,
                    options,
                    advance,
                )
                for name in groups
            ]
    keep_vectors(adata, vectors)
    table = pd.concat([part for part, _ in found], ignore_index=True)
    table["q"] = false_discovery_control(table["p"])
    table["gene"] = [genes.of(place) for place in table.pop("position").tolist()]
    record: dict[str, Any] = {
        "sclong_version": version("sclong-tasks"),
        "encoder": vectors.encoder,
        **{field.name: getattr(options, field.name) for field in fields(options)},
        "table": table[list(COLUMNS)],
        "groups": pd.DataFrame([about for _, about in found]),
    }
    del record["progress"]
    adata.uns[EXPLANATION] = record
    return record


Halves = dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


def _halves(names: npt.NDArray[np.str_], options: ExplainOptions) -> Halves:
    """Of each group, cells that say where it lies, and others that are explained.

    The direction is not that of the explained cells, so that a gene which tells nothing has
    attributions around zero.
    """
    draw = np.random.default_rng(options.seed)
    found = {}
    for name in np.unique(names[names != ""]).tolist():
        rows = draw.permutation(np.flatnonzero(names == name))
        if len(rows) < FEWEST_CELLS:
            _LOG.warning(
                "%s has %d cells, of the %d that a group needs: it is left out",
                name, len(rows), FEWEST_CELLS,
            )  # fmt: skip
            continue
        found[name] = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    if len(found) < 2:
        raise InputError(
            f"{options.by} has {len(found)} groups of {FEWEST_CELLS} cells or more, and a group is "
            "explained beside another: give more cells, or another column to --by"
        )
    return found


def _direction(units: Floats, groups: Halves, name: str) -> Floats:
    middles = {one: units[rows].mean(0) for one, (rows, _) in groups.items()}
    others = np.mean([middle for one, middle in middles.items() if one != name], axis=0)
    direction_w: Floats = unit((middles[name] - others)[None])[0]
    return direction_w


@dataclass(frozen=True)
class _Pairs:
    """Values of cells, and of a cell of another group for each."""

    cells_ng: sparse.csr_matrix
    pairs_ng: sparse.csr_matrix


def _pairs(
    expression: sparse.csr_matrix,
    rows: npt.NDArray[np.int64],
    groups: Halves,
    name: str,
    options: ExplainOptions,
) -> _Pairs:
    draw = np.random.default_rng(options.seed)
    chosen = groups[name][1][: options.cells]
    others = [draw.permutation(shown) for one, (_, shown) in groups.items() if one != name]
    pairs = []
    for n in range(len(chosen)):  # the other groups by turns, their cells in the order drawn
        turn, of = divmod(n, len(others))
        pairs.append(others[of][turn % len(others[of])])
    return _Pairs(
        expression[np.searchsorted(rows, chosen)], expression[np.searchsorted(rows, pairs)]
    )


def _explained(
    name: str,
    direction_w: Floats,
    pairs: _Pairs,
    reader: VectorReader,
    options: ExplainOptions,
    advance: Callable[[int], None],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of a group, and one about it."""
    count = pairs.cells_ng.shape[0]
    parts, gained = [], []
    for start in range(0, count, options.batch_size):
        stop = start + options.batch_size
        cells, others = (_tensor(part[start:stop]) for part in (pairs.cells_ng, pairs.pairs_ng))
        parts.append(sparse.csr_matrix(_gradients(reader, cells, others, direction_w, options)))
        gained.append(_score(reader, cells, direction_w) - _score(reader, others, direction_w))
        advance(len(cells))
    attributions_ng = sparse.vstack(parts, format="csc")
    gain_n = np.concatenate(gained)

    mean_g, elsewhere_g = (
        np.asarray(part.mean(0), dtype=np.float64).ravel()
        for part in (pairs.cells_ng, pairs.pairs_ng)
    )
    shown_g, hidden_g = (part.getnnz(0) / count for part in (pairs.cells_ng, pairs.pairs_ng))
    places = np.flatnonzero(reader.read_g() & (shown_g + hidden_g > 0))
    values_ng = attributions_ng[:, places].toarray()
    attribution = values_ng.mean(0, dtype=np.float64)
    order = np.argsort(-attribution, kind="stable")
    weights = np.random.default_rng(options.seed).multinomial(
        count, np.full(count, 1 / count), size=_DRAWS
    )
    low, high = np.quantile(weights / count @ values_ng, [0.025, 0.975], axis=0)
    part = pd.DataFrame(
        {
            "group": name,
            "position": places,
            "attribution": attribution,
            "low": low,
            "high": high,
            "p": _signed_ranks(values_ng),
            "beyond_like_genes": _beyond(attribution, (mean_g + elsewhere_g)[places] / 2),
            "expression": mean_g[places],
            "expression_elsewhere": elsewhere_g[places],
            "detection": shown_g[places],
            "detection_elsewhere": hidden_g[places],
        }
    ).iloc[order].reset_index(drop=True)  # fmt: skip
    part["rank"] = np.arange(1, len(part) + 1)
    occluded = _occluded(part, options)
    part["occlusion"] = np.nan
    for row in occluded.tolist():
        position = int(part.at[row, "position"])
        part.at[row, "occlusion"] = _occlusion(reader, pairs, position, direction_w, options)
    checked = part.loc[occluded, ["attribution", "occlusion"]]
    return part, {
        "group": name,
        "pairs": count,
        "score_gained": float(gain_n.mean()),
        "attributed": float(attributions_ng.sum() / count),
        "agreement": float(spearmanr(checked).statistic) if checked.nunique().min() > 1 else np.nan,
        "genes_occluded": len(occluded),
    }


def _tensor(rows: sparse.csr_matrix) -> Tensor:
    return torch.from_numpy(np.asarray(rows.toarray(), dtype=np.float32))


def _score(reader: VectorReader, x_bg: Tensor, direction_w: Floats) -> Doubles:
    with torch.inference_mode():
        vectors = reader(x_bg.to(reader.model.device)).float().cpu().numpy()
    return np.asarray(unit(vectors) @ direction_w, dtype=np.float64)


def _gradients(
    reader: VectorReader,
    cells_bg: Tensor,
    pairs_bg: Tensor,
    direction_w: Floats,
    options: ExplainOptions,
) -> Floats:
    """Integrated gradients of the score from each pair to its cell, ``(b, g)``."""
    device = reader.model.device
    cells_bg, pairs_bg = cells_bg.to(device), pairs_bg.to(device)
    along = torch.from_numpy(direction_w).to(device)
    total = torch.zeros_like(cells_bg)
    shown, hidden = (cells_bg > 0).float(), (pairs_bg > 0).float()
    for step in range(options.steps):
        share = (step + 0.5) / options.steps
        leaf_bg = (pairs_bg + share * (cells_bg - pairs_bg)).requires_grad_()
        presence_bg = hidden + share * (shown - hidden)
        with torch.enable_grad(), _presence(reader.model, presence_bg) as presences:
            score = (functional.normalize(reader(leaf_bg).float(), dim=1) * along).sum()
            slopes = torch.autograd.grad(score, [leaf_bg, *presences], allow_unused=True)
        total += slopes[0] * (cells_bg - pairs_bg)
        if len(slopes) > 1 and slopes[1] is not None:
            variable = reader.model.require_readout().variable
            change = (shown - hidden)[:, variable]
            total[:, variable] += slopes[1] * change
    return np.asarray((total / options.steps).cpu().numpy(), dtype=np.float32)


@contextmanager
def _presence(model: ScLong, presence_bg: Tensor) -> Iterator[list[Tensor]]:
    """What a readout sees of genes being expressed is this, with a slope; no list without one."""
    found: list[Tensor] = []
    if model.config.readout is None or not model.config.readout.sums:
        yield found
        return
    variable = model.config.readout.variable_genes
    seen = presence_bg[:, model.require_readout().variable]

    def replace(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        values, expressed = inputs[0].split(variable, dim=1)
        found.append(seen.to(expressed.dtype).clone().requires_grad_())
        return (torch.cat([values, found[0]], dim=1),)

    handle = model.readout.sums.register_forward_pre_hook(replace)
    try:
        yield found
    finally:
        handle.remove()


def _signed_ranks(values_ng: Floats) -> Doubles:
    """Wilcoxon's signed-rank test of each gene's attributions; 1 where all are zero.

    To swap a pair is to change the sign of all of its attributions: if a gene tells nothing, both
    signs are as likely.
    """
    p = np.ones(values_ng.shape[1])
    told = np.flatnonzero(np.count_nonzero(values_ng, axis=0) > 1)
    if len(told):
        tested = wilcoxon(values_ng[:, told].astype(np.float64), axis=0, method="asymptotic")
        p[told] = tested.pvalue
    return p


def _beyond(attribution: Doubles, mean: Doubles) -> Doubles:
    """Share of the 100 genes of nearest expression whose attribution is smaller in size."""
    order = np.argsort(mean, kind="stable")
    sizes = np.abs(attribution)[order]
    window = min(_LIKE, max(len(order) - 1, 0))
    found = np.empty(len(order))
    for place in range(len(order)):
        start = min(max(0, place - window // 2), max(0, len(order) - window - 1))
        near = sizes[start : start + window + 1]
        found[order[place]] = (near < sizes[place]).sum() / max(window, 1)
    return found


def _occluded(part: pd.DataFrame, options: ExplainOptions) -> npt.NDArray[np.int64]:
    """Rows of the genes that are occluded: the first ones, and as many of the others at random."""
    first = np.arange(min(options.top, len(part)))
    draw = np.random.default_rng(options.seed)
    rest = np.arange(len(first), len(part))
    others = draw.choice(rest, min(options.top, len(rest)), replace=False)
    return np.concatenate([first, np.sort(others)])


def _occlusion(
    reader: VectorReader,
    pairs: _Pairs,
    position: int,
    direction_w: Floats,
    options: ExplainOptions,
) -> float:
    """Mean loss of score where cells have a gene's value of their pair."""
    own, other = (
        part[:, [position]].toarray().ravel() for part in (pairs.cells_ng, pairs.pairs_ng)
    )
    differing = np.flatnonzero(own != other)
    lost = 0.0
    for start in range(0, len(differing), options.batch_size):
        rows = differing[start : start + options.batch_size]
        x = _tensor(pairs.cells_ng[rows])
        before = _score(reader, x, direction_w)
        x[:, position] = torch.from_numpy(other[rows].astype(np.float32))
        lost += float((before - _score(reader, x, direction_w)).sum())
    return lost / len(own)


def require_attention(embedder: Embedder) -> None:
    """Refuse a model whose attention cannot be told gene by gene.

    Raises:
        ConfigError: its encoders read different genes in each cell, or it has none.
    """
    AttentionReader(embedder.model, "full", -1).close()


def attention_table(
    adata: anndata.AnnData,
    embedder: Embedder,
    options: ExplainOptions,
    path: Path,
    reading: ReadingOptions,
) -> pd.DataFrame:
    """Mean attention between the first genes of each group.

    Columns: ``group``, ``source``, ``target``, ``weight``. The source attends to the target, in the
    last layer of the full encoder; weights are means over heads and over cells of the group, at
    most ``options.cells``.

    Args:
        adata: after :func:`explain_cells`.
        embedder: the model that explained them.
        options: of the explanation.
        path: of the cells, for messages.
        reading: how they are read.

    Raises:
        ConfigError: see :func:`require_attention`.
    """
    names = obs_column(adata.obs, [options.by], "--by", path)
    parts = []
    for group, part in adata.uns[EXPLANATION]["table"].groupby("group", sort=False):
        first = part["gene"].head(options.top)
        genes = first[vocabulary_of(embedder.model).lookup(first.tolist()) >= 0].tolist()
        rows = np.flatnonzero(names == group)[: options.cells]
        weights = embedder.model.attention(adata[rows].copy(), genes, **reading).mean(0)
        source, target = np.divmod(np.arange(len(genes) ** 2), len(genes))
        parts.append(
            pd.DataFrame(
                {
                    "group": group,
                    "source": np.asarray(genes)[source],
                    "target": np.asarray(genes)[target],
                    "weight": weights.ravel(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
