"""The page of plain words, and what the report says of data and budget: made from results."""

from collections.abc import Iterable, Sequence

from sclong_bench.evidence.claims import CLAIMS, MEASURES, gains, judgement, summary
from sclong_bench.evidence.known import Coverage
from sclong_bench.evidence.panel import SETTINGS
from sclong_bench.evidence.suite import EvidenceSuite, Source
from sclong_bench.evidence.tables import (
    BASELINE_HEADINGS,
    GAIN_HEADINGS,
    KNOWN_HEADINGS,
    baseline_cells,
    gain_cells,
    known_cells,
    primary_settings,
)
from sclong_bench.report.comparison import Comparison
from sclong_bench.report.words import counted, interval, listed, name_of, plain
from sclong_core.escaping import for_markdown
from sclong_tasks.tables import fill_page


def budget(suite: EvidenceSuite, evidence: Comparison, coverage: Coverage) -> str:
    """What every variant gets."""
    training = suite.training
    seeds = counted(int(evidence.results.rows["seed"].nunique()), "seed")
    return (
        f"Each variant was pretrained with {seeds}, each time from new weights: the shape "
        f"“{training.preset}” over {coverage.genes:,} genes, {training.steps} steps of "
        f"{training.batch_size} cells, a rate of at most {training.learning_rate:g}, and "
        f"{training.masked:.0%} of a cell's non-zero values hidden and scored. Nothing was tuned: "
        "steps and rate were set by the time that there was, after trial runs of 6 steps whose "
        "figures were seen; genes that are named by lists were added after a whole run without "
        "them, whose figures were seen too. Gene vectors start from a singular "
        "value decomposition of the cells of pretraining, in place "
        f"of Gene2vec; the graph joins each gene with up to {training.neighbours} genes of similar "
        "annotations in the Gene Ontology, as in the paper."
    )


def data_words(suite: EvidenceSuite) -> list[str]:
    """What was trained on, and what was measured on."""
    trained = [_shared(source) for source in suite.pretraining]
    evaluation = suite.evaluation
    lines = [f"Pretraining: {listed(trained)}; harmonised by `sclong data harmonise`."]
    lines += [
        f"Held out of {name_of(source.name)}: {source.held_out:.0%} of its cells."
        for source in suite.pretraining
        if source.held_out
    ]
    for source in suite.held_out:
        what = [
            words for words, there in (("types", source.label), ("batches", source.batch)) if there
        ]
        lines.append(f"Never seen at all: {name_of(source.name)}, with {' and '.join(what)}.")
    lines.append(
        f"Of each at most {evaluation.cells} cells are embedded and {evaluation.masked_cells} are "
        "reconstructed: the same cells, masks and splits for all models and seeds, so that seeds "
        "differ by training alone."
    )
    return lines


def _shared(source: Source) -> str:
    share = f" ({1 - source.held_out:.0%} of its cells)" if source.held_out else ""
    return f"{name_of(source.name)}{share}"


def known_words(suite: EvidenceSuite, coverage: Coverage) -> str:
    """What known biology the models are asked about, and what is too little to ask."""
    evaluation = suite.evaluation
    parts = (
        ("lists of markers", [one.measured for one in coverage.markers]),
        ("networks", [one.measured for one in coverage.networks]),
    )
    shares = [f"{sum(found)} of {len(found)} {what}" for what, found in parts if found]
    return (
        "Markers are those of ScType for the types of the cells; they are compared with genes of "
        "like expression in cells of the type, by cosines of the representations of genes. "
        "Networks are those of BEELINE, by cosines over all cells, among the edges from their "
        "factors to their genes. Only genes that the models know take part. A type is measured "
        f"with at least {SETTINGS.fewest_markers} markers that {SETTINGS.expressed_in} of its "
        f"cells express, a network with at least {evaluation.fewest_edges} edges of "
        f"{evaluation.fewest_factors} factors; of others there is no number. Enough is there of "
        f"{' and '.join(shares) or 'nothing'}."
    )


def limits(suite: EvidenceSuite, coverage: Coverage) -> list[str]:
    """What this cannot say."""
    cells = suite.training.steps * suite.training.batch_size
    asked = coverage.genes - coverage.expressed
    genes = (
        f"It knows {coverage.genes:,} genes: the {coverage.expressed:,} with most non-zero values"
        + (
            f", and {asked:,} that are there because lists of markers and networks name them and "
            "some cells of pretraining measure them"
            if asked
            else ""
        )
        + ". Most genes of low expression, which an encoder of their own is made for, are not "
        "among them."
    )
    construction = (
        "Hidden values rank last, so that a model without the low-expression genes gives all of a "
        "cell's hidden values one and the same reconstruction: its R² is low by construction."
    )
    noise = (
        "Seeds speak of the noise of training. There is one split of the cells and one set of data "
        "sets; nothing is said about other tissues."
    )
    seen = f"A model has seen {cells:,} cells; the paper's has seen 48 million, five times."
    return [seen, genes, construction, noise]


def claims_markdown(evidence: Comparison) -> str:
    """Each claim: a sentence, the strongest settings either way, and its table."""
    parts = []
    for claim in CLAIMS:
        found = gains(evidence, claim)
        lines = [f"### {claim.part}: {judgement(found)}", "", f"{claim.part} {summary(found)}."]
        clear = sorted((gain for gain in found if gain.verdict == "helps"), key=lambda g: g.q_value)
        clear += sorted(
            (gain for gain in found if gain.verdict == "harms"), key=lambda g: g.q_value
        )
        lines += [""] if clear else []
        for gain in clear:
            words = dict(claim.without)[gain.without]
            lines.append(
                f"- It **{gain.verdict}** {gain.measure} on {name_of(gain.scenario)} (beside: "
                f"{words}): {plain(gain.gain, 3)} {interval(gain.low, gain.high, 3)}."
            )
        rows = [gain_cells(claim, gain) for gain in found]
        parts.append("\n".join([*lines, "", markdown(GAIN_HEADINGS, rows)]))
    return "\n\n".join(parts)


def baselines_markdown(evidence: Comparison) -> str:
    """The full model beside simple methods."""
    rows = [
        baseline_cells(evidence, setting, MEASURES[setting.task, setting.metric])
        for setting in primary_settings(evidence)
    ]
    return markdown(BASELINE_HEADINGS, rows)


def known_markdown(suite: EvidenceSuite, coverage: Coverage) -> str:
    """Which known biology could be asked about."""
    table = markdown(KNOWN_HEADINGS, known_cells(coverage))
    return f"{known_words(suite, coverage)}\n\n{table}"


def done_markdown(suite: EvidenceSuite, evidence: Comparison, coverage: Coverage) -> str:
    """Budget, data and limits."""
    lists = (data_words(suite), limits(suite, coverage))
    words = budget(suite, evidence, coverage)
    return "\n\n".join([words, *("\n".join(f"- {line}" for line in lines) for lines in lists)])


def filled_page(page: str, evidence: Comparison, suite: EvidenceSuite, coverage: Coverage) -> str:
    """The page of words with its blocks made anew."""
    blocks = {
        "evidence done": done_markdown(suite, evidence, coverage),
        "evidence known": known_markdown(suite, coverage),
        "evidence claims": claims_markdown(evidence),
        "evidence baselines": baselines_markdown(evidence),
    }
    for name, text in blocks.items():
        page = fill_page(page, name, f"{text}\n")
    return page


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [map(for_markdown, headings), ["---"] * len(headings)]
    lines += [map(for_markdown, row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
