"""Maps of cells: an embedding in two dimensions, once for each column of labels."""

from collections.abc import Mapping, Sequence
from typing import Literal
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from sclong_core.errors import ConfigError
from sclong_data.report.markup import tag
from sclong_data.report.scatter import Group, legend, scatter
from sclong_data.report.svg import WIDTH, Text
from sclong_tasks.metrics.embedding import checked_embedding

Way = Literal["umap", "pca"]
WAYS: tuple[Way, ...] = ("umap", "pca")
_FIRST = 50
"""Principal components that stand for wider embeddings, as in scIB."""
_NEIGHBOURS = 15
_COLUMNS, _LINE, _MARGIN = 2, 19.0, 8.0


def plane(values: npt.ArrayLike, *, way: Way = "umap", seed: int = 0) -> npt.NDArray[np.float64]:
    """Cells in two dimensions, by UMAP of at most 50 numbers a cell or by principal components.

    Raises:
        ConfigError: UMAP is not installed.
        InputError: a value is not a number.
    """
    table, _, _ = checked_embedding(values, np.zeros(len(np.asarray(values))))
    most = min(table.shape)
    first = 2 if way == "pca" else _FIRST
    if most > first:
        table = PCA(first, random_state=seed).fit_transform(table)
    if way == "pca":
        return np.pad(table, ((0, 0), (0, max(0, 2 - table.shape[1]))))[:, :2]
    try:
        from umap import UMAP  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ConfigError(
            "UMAP needs the package umap-learn: pip install 'sclong-tasks[umap]', or choose pca"
        ) from error
    near = min(_NEIGHBOURS, len(table) - 1)
    start = "spectral" if len(table) > 3 * near else "random"
    found = UMAP(n_neighbors=near, random_state=seed, n_jobs=1, init=start).fit_transform(table)
    return np.asarray(found, dtype=np.float64)


def label_maps(
    points: npt.NDArray[np.float64], labels: Mapping[str, Sequence[str]], *, axes: str, name: str
) -> dict[str, Element]:
    """A drawing for each column of labels, all of the same points.

    Args:
        points: ``(cells, 2)``.
        labels: of each cell, by the name of the column.
        axes: what the coordinates are.
        name: of the embedding.
    """
    drawings = {}
    for column, values in labels.items():
        kinds, codes = np.unique(np.asarray(values).astype(str), return_inverse=True)
        order = np.argsort(-np.bincount(codes), kind="stable")
        groups = [
            Group(str(kinds[code]), list(map(tuple, points[codes == code].tolist())))
            for code in order
        ]
        text = Text(
            f"map-{column}".replace("_", "-"),
            f"{axes} of {name} by {column.replace('_', ' ')}",
            f"{len(points)} cells in {len(groups)} groups: "
            f"{', '.join(f'{group.name} {len(group.points)}' for group in groups)}.",
        )
        heading = f"{name}, by {column.replace('_', ' ')}"
        drawings[column] = _with_legend(
            scatter(text, groups, heading=heading, axes=axes), legend(groups)
        )
    return drawings


def _with_legend(drawing: Element, names: Element) -> Element:
    """The drawing with the marks and names of a legend below it, for a file of its own."""
    width, height = (float(number) for number in (drawing.get("viewBox") or "").split()[2:])
    items = names.findall("li")
    for place, item in enumerate(items):
        row, column = divmod(place, _COLUMNS)
        x = _MARGIN + 8 + column * WIDTH / _COLUMNS
        y = height + _MARGIN + row * _LINE
        mark = tag("g", *item.findall("svg/path"), transform=f"translate({x:g} {y:g})")
        said = " ".join(text for span in item.findall("span") for text in span.itertext())
        drawing.extend([mark, tag("text", said, x=x + 11, y=y + 4)])
    rows = -(-len(items) // _COLUMNS)
    drawing.set("viewBox", f"0 0 {width:g} {height + _MARGIN + rows * _LINE:g}")
    return drawing
