"""Cells that a published model was not made for: of another species, or of genes it lacks."""

import logging

from sclong_core.errors import InputError
from sclong_core.expression import CellSource
from sclong_core.expression.species import HUMAN, TAXA, other_organisms, species_of_genes
from sclong_tasks.encoders.published_model import PublishedModel

_LOG = logging.getLogger("sclong")
_POOR = 0.5
_NAMES = {"macaca_mulatta": "rhesus macaque", "macaca_fascicularis": "crab-eating macaque"}


def require_species(source: CellSource, model: PublishedModel, *, allowed: bool) -> None:
    """Refuse cells of another species than the one that a model reads.

    Symbols of a mouse are those of a human but for their letters, so that a model which ignores
    these would take them. A species that was chosen is believed, and what speaks against it told.

    Args:
        source: the cells.
        model: whose option ``species`` says which one it reads; human without it.
        allowed: they are taken nevertheless.

    Raises:
        InputError: they are of another species, by their genes or by what ``obs`` or ``uns`` note.
    """
    asked = model.reads
    wanted = _NAMES.get(asked, asked.replace("_", " "))
    if wanted not in TAXA.values():
        return
    noted = other_organisms(source.obs, source.organism, wanted)
    for reason in (species_of_genes(source.var, wanted).reason, noted):
        if reason is None:
            continue
        if allowed or asked != HUMAN:
            _LOG.warning("%s is treated as %s although %s", source.name, wanted, reason)
            continue
        choice = "map genes to their human orthologs"
        if hasattr(model.options, "species"):
            choice = f"say which species it is by the option species of {model.card.name}"
        raise InputError(
            f"{source.name} is not {wanted} data: {reason}; {choice}, or pass "
            "allow_other_species=True (--allow-other-species) if it is"
        )


def warn_of_poor_match(model: PublishedModel, known: float, total: float) -> None:
    """Warn where a model knows less than half of the counts of cells."""
    if total > 0 and known < _POOR * total:
        _LOG.warning(
            "%s knows the genes of %s of the counts alone: its vectors say little of these cells; "
            "check the column of genes (--gene-column)",
            model.card.title,
            f"{known / total:.0%}",
        )
