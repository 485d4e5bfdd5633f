"""What the numbers say, in words that follow from them."""

from sclong_bench.demo.demo_run import DemoRun
from sclong_bench.demo.results import (
    CELL_MEAN,
    GENE_AND_CELL,
    GENE_MEAN,
    MINI,
    PCA,
    SCLONG,
    Summary,
    summarise,
)
from sclong_data.report.table import number

BASELINES = (GENE_AND_CELL, GENE_MEAN, CELL_MEAN)
"""What reconstruction is compared with."""


def reconstruction_scores(outcome: DemoRun) -> dict[str, Summary]:
    """R2 of each method, the model first."""
    return {name: summarise(outcome.rows, "r2", name) for name in (SCLONG, *BASELINES)}


def best_baseline(outcome: DemoRun) -> tuple[str, Summary]:
    """The baseline with the highest R2."""
    scores = reconstruction_scores(outcome)
    return max(((name, scores[name]) for name in BASELINES), key=lambda pair: pair[1].mean)


def accuracies(outcome: DemoRun) -> tuple[Summary, Summary]:
    """Accuracy of cell types by the embedding and by principal components."""
    first, second = (summarise(outcome.rows, "accuracy", name) for name in (SCLONG, PCA))
    return first, second


def shipped_accuracy(outcome: DemoRun) -> Summary | None:
    """Accuracy of cell types by the model that comes with the package, if it knows the genes."""
    return None if outcome.shipped is None else summarise(outcome.rows, "accuracy", MINI)


def shipped_verdict(outcome: DemoRun) -> str:
    """How the model that comes with the package compares with principal components."""
    ours, (_, theirs) = shipped_accuracy(outcome), accuracies(outcome)
    if ours is None:
        return "The model that comes with the package knows none of these genes."
    difference = ours.mean - theirs.mean
    words = f"{MINI} tells {ours.mean:.1%} of the cells right, {PCA} {theirs.mean:.1%}"
    if abs(difference) <= max(ours.deviation, theirs.deviation):
        return f"{words}: they differ by less than one split differs from the next."
    return f"{words}: {MINI if difference > 0 else PCA} is better here."


def shipped_lines(outcome: DemoRun) -> list[tuple[str, str]]:
    """For the terminal; none where the model does not know the genes."""
    ours = shipped_accuracy(outcome)
    if ours is None:
        return []
    _, theirs = accuracies(outcome)
    words = f"{spread(ours, 3)} correct by nearest neighbours (PCA: {spread(theirs, 3)})"
    return [("scLong-mini", words)]


def spread(summary: Summary, decimals: int) -> str:
    """Mean and standard deviation."""
    return f"{number(summary.mean, decimals)} ± {number(summary.deviation, decimals)}"


def counted(count: int, what: str) -> str:
    """A number of things."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def reconstruction_verdict(outcome: DemoRun) -> str:
    """How the model compares with the best average."""
    score = reconstruction_scores(outcome)[SCLONG]
    name, best = best_baseline(outcome)
    if score.mean > best.mean:
        return (
            f"The model explains {score.mean:.0%} of the variance of hidden values, the best "
            f"average ({name}) {best.mean:.0%}: it has learnt how genes go together, which no "
            "average can know."
        )
    return (
        f"The model (R² {number(score.mean, 2)}) is not better than the best average ({name}, "
        f"{number(best.mean, 2)}): it was trained too briefly."
    )


def accuracy_verdict(outcome: DemoRun) -> str:
    """How the embedding compares with principal components."""
    ours, theirs = accuracies(outcome)
    difference = ours.mean - theirs.mean
    if abs(difference) <= max(ours.deviation, theirs.deviation):
        return f"{SCLONG} and {PCA} differ by less than one split differs from the next."
    better, worse = (SCLONG, PCA) if difference > 0 else (PCA, SCLONG)
    return f"Here {better} tells cell types better than {worse}."


def reconstruction_line(outcome: DemoRun) -> str:
    """For the terminal."""
    name, best = best_baseline(outcome)
    score = reconstruction_scores(outcome)[SCLONG]
    return f"{score.mean:.3f} of hidden values (best average, {name}: {best.mean:.3f})"


def accuracy_line(outcome: DemoRun) -> str:
    """For the terminal."""
    ours, theirs = accuracies(outcome)
    return f"{spread(ours, 3)} correct by nearest neighbours (PCA: {spread(theirs, 3)})"


def time_line(outcome: DemoRun) -> str:
    """For the terminal."""
    return f"{duration(outcome.total_seconds)} on {outcome.machine.used}"
