"""Whether the counts of cells are those of a published model: of its species, and known to it."""

import numpy as np

from sclong_core.errors import InputError
from sclong_core.expression import ReadingOptions
from sclong_core.expression.rows import cells_at_once
from sclong_core.expression.species import HUMAN, SpeciesTally, check_species, species_of_genes
from sclong_core.expression.surveys import POOR, row_sums
from sclong_tasks.encoders.counts import CountedCells
from sclong_tasks.encoders.published_model import Arrangement, PublishedModel


def require_fitting(
    cells: CountedCells, arrangement: Arrangement, model: PublishedModel, reading: ReadingOptions
) -> None:
    """Refuse cells most of whose counts a model does not know, or that are of another species.

    Both by the rules of scLong, and unless ``reading`` allows it. What annotation says of the
    species is looked at by :func:`.foreign.require_species`.

    Raises:
        InputError: they are such cells.
    """
    source, allowed = cells.source, reading.get("allow_other_species", False)
    species = species_of_genes(source.var, HUMAN if model.of_human_cells else "")
    poor_allowed = reading.get("allow_poor_match", False)
    if poor_allowed and not species.foreign.any():
        return
    tally, total, known, poor = SpeciesTally(species), 0.0, 0.0, 0
    step = cells_at_once(source.n_genes)
    for start in range(0, len(cells), step):
        stop = min(start + step, len(cells))
        counts = cells.counts(start, stop)
        tally.add(counts, cells.names[start:stop])
        sums, matched = row_sums(counts), row_sums((counts @ arrangement.select).tocsr())
        total, known = total + float(sums.sum()), known + float(matched.sum())
        poor += int((matched < POOR * sums).sum())
    check_species(source.name, species.wanted, [tally.reason("raw")], allowed=allowed)
    if poor_allowed or (known >= POOR * total and poor <= POOR * len(cells)):
        return
    share = f"{known / max(total, np.finfo(float).tiny):.1%} of their counts are on genes it knows"
    if known >= POOR * total:
        share = f"{poor:,} of {len(cells):,} have less than half of their counts on genes it knows"
    raise InputError(
        f"{source.name}: {model.card.title} knows too little of these cells: {share} "
        f"({source.n_genes - len(arrangement.unknown):,} of {source.n_genes:,} genes); check "
        "--gene-column, or pass --allow-poor-match"
    )
