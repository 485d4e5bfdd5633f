"""What the page says about itself: its limits, and where its numbers come from."""

from xml.etree.ElementTree import Element

from sclong_bench.demo.demo_run import DemoRun
from sclong_bench.demo.story import duration
from sclong_data.report.markup import Content, tag
from sclong_data.report.table import Column, Table


def notes(outcome: DemoRun) -> Element:
    """The list of what is real, and what is not."""
    items = (
        tag("li", tag("strong", f"{about}. "), text) for about, text in _notes(outcome).items()
    )
    return tag("ul", *items, class_="notes")


def _notes(outcome: DemoRun) -> dict[str, str]:
    data, settings = outcome.data, outcome.settings
    training = int(data.training.sum())
    return {
        "Real": (
            f"The {data.training.size} cells, a sample of the 68,000 blood cells of Zheng et al. "
            "(2017) that comes with scanpy; and the trainer, the checkpoint and the embedding, "
            "which are those of any other pretraining."
        ),
        "Harmonised": (
            "The cells went through the harmoniser of sclong-data, as those of any corpus do. What "
            f"it saw: the file {data.recognised}. So they are taken as they are, and "
            f"{data.training.size} of {data.read} cells are kept. Its rules were relaxed for them: "
            "data sets of fewer than 1,000 genes and cells of fewer than 300 pass, and values are "
            "not brought to a maximum of 10."
        ),
        "Small": (
            f"{len(data.vocabulary)} genes, chosen for their variation, in place of 27,874; "
            f"{outcome.training.parameters / 1e6:.1f} million parameters in place of a billion; "
            f"{training} cells in place of 48 million."
        ),
        "Not Gene2vec, not the Gene Ontology": (
            "Gene vectors are from a singular value decomposition of the training cells, and the "
            f"graph joins each gene to the {settings.neighbours} nearest by their cosine (above "
            f"{settings.least_similarity:g}). They hold nothing that is not in these cells."
        ),
        "Labels": (
            "Cell types are those given by the authors of the data, by likeness to sorted "
            "populations; they are not certain themselves, and several overlap."
        ),
        "Seen and unseen": (
            "In the maps and the table of cell types, four fifths of the cells had been pretrained "
            "on by the tiny model, without their types; the principal components are fitted to all "
            "cells. scLong-mini saw none of them."
        ),
        "No claim": (
            "Nothing here repeats a result of the paper, or says how well the published model does."
        ),
    }


def provenance(outcome: DemoRun) -> Table:
    """The table of what a run was a function of."""
    settings = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in outcome.settings.to_dict().items()
    )
    stages = ", ".join(f"{name} {duration(spent)}" for name, spent in outcome.seconds.items())
    rows: list[tuple[str, Content]] = [
        ("command", tag("code", outcome.command)),
        ("seed", str(outcome.settings.seed)),
        ("settings", settings),
        ("time", f"{duration(outcome.total_seconds)} ({stages})"),
        ("machine", str(outcome.machine)),
        ("versions", ", ".join(f"{name} {which}" for name, which in outcome.versions.items())),
    ]
    rows += [(f"SHA-256: {what}", tag("code", sha)) for what, sha in outcome.digests.items()]
    return Table((Column("what"), Column("which")), rows, caption="Provenance of this page")
