"""``sclong data graph build``: from annotations, gene sets and interactions to graph.npz."""

import argparse
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sclong_core.cli.terminal import is_interactive, messages, print_facts
from sclong_core.errors import ConfigError
from sclong_data.cli.gene_files import (
    REPORT,
    add_output_arguments,
    add_table_arguments,
    check_output,
    obtained,
    read_optional_table,
    write_report,
)

if TYPE_CHECKING:
    from sclong_core.vocabulary import GeneVocabulary
    from sclong_data.genes.table import GeneTable
    from sclong_data.graph.similarity import GeneSimilarity

_LOG = logging.getLogger("sclong")
_SOURCES = ("go", "gene-sets", "string")


class GraphBuildCommand:
    """Builds a gene graph; see :mod:`sclong_data.graph.building`."""

    help = "build the graph from Gene Ontology annotations, gene sets or STRING links -> graph.npz"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the sources, and how genes are joined."""
        parser.description = (
            "Build the gene graph of a vocabulary: an edge to each gene from the genes "
            "most similar to it, and from itself. The similarity of two genes is the "
            "Jaccard index of their terms or gene sets, or STRING's score of their "
            "link; with several sources, the largest of these. Official files are "
            "downloaded unless you pass your own."
        )
        parser.add_argument("--vocabulary", type=Path, required=True, metavar="FILE")
        add_output_arguments(parser, "the graph to write: graph.npz")
        parser.add_argument(
            "--from",
            dest="kinds",
            nargs="+",
            choices=_SOURCES,
            default=["go"],
            metavar="SOURCE",
            help=f"one or more of {', '.join(_SOURCES)} (default: go)",
        )
        parser.add_argument("--neighbours", type=int, default=20, metavar="GENES")
        parser.add_argument(
            "--threshold",
            type=float,
            default=0.1,
            help="keep pairs with a similarity above this (default: 0.1)",
        )
        parser.add_argument(
            "--own-edges",
            choices=("always", "ranked"),
            default="always",
            help=(
                "edge of each gene to itself: always, or ranked among its neighbours as in "
                "the release, where a gene behind 21 others with the same terms loses it "
                "(default: always)"
            ),
        )
        _add_sources(parser)
        add_table_arguments(parser, optional=True)

    def run(self, args: argparse.Namespace) -> int:
        """Build, and print what was found."""
        with messages():
            check_output(args, REPORT)
            _check(args)
            return _run(args)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    go = parser.add_argument_group("Gene Ontology")
    go.add_argument(
        "--annotations",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="GAF 2.x, gene2go, or a table or JSON of genes and terms",
    )
    go.add_argument(
        "--ontology",
        type=Path,
        metavar="FILE",
        help="go-basic.obo, to drop obsolete terms; downloaded together with annotations",
    )
    go.add_argument("--propagate", action="store_true", help="add the ancestors of each term")
    go.add_argument(
        "--without-evidence",
        nargs="+",
        default=[],
        metavar="CODE",
        help="evidence codes to leave out, such as ND or IEA",
    )
    others = parser.add_argument_group("gene sets and interactions")
    others.add_argument(
        "--gene-sets", nargs="+", type=Path, metavar="FILE", help="gene sets or pathways, as GMT"
    )
    others.add_argument(
        "--string-links", type=Path, metavar="FILE", help="STRING's 9606.protein.links"
    )
    others.add_argument(
        "--string-names",
        type=Path,
        metavar="FILE",
        help="STRING's 9606.protein.aliases or 9606.protein.info",
    )
    others.add_argument(
        "--string-score",
        type=int,
        default=700,
        metavar="0-1000",
        help="minimum score (default: 700)",
    )


def _check(args: argparse.Namespace) -> None:
    """Refuse what contradicts itself, before anything is fetched."""
    given = {
        "go": bool(args.annotations or args.ontology or args.propagate or args.without_evidence),
        "gene-sets": bool(args.gene_sets),
        "string": bool(args.string_links or args.string_names),
    }
    for kind, there in given.items():
        if there and kind not in args.kinds:
            raise ConfigError(f"files or settings of {kind} are set: add it to --from")
    if "gene-sets" in args.kinds and not args.gene_sets:
        raise ConfigError("--from gene-sets needs --gene-sets: there is no official file of them")


def _run(args: argparse.Namespace) -> int:
    from sclong_core.vocabulary import GeneVocabulary  # noqa: PLC0415  # keeps --help fast
    from sclong_data.graph.building import graph_of  # noqa: PLC0415
    from sclong_data.graph.similarity import JoinedSimilarity  # noqa: PLC0415

    used = {"vocabulary": args.vocabulary}
    vocabulary = GeneVocabulary.read(args.vocabulary)
    table = read_optional_table(args, used)
    report: dict[str, Any] = {}
    sources: list[GeneSimilarity] = []
    if "go" in args.kinds:
        sources.append(_go(args, vocabulary, table, used, report))
    if "gene-sets" in args.kinds:
        used.update({f"gene sets {number}": path for number, path in enumerate(args.gene_sets, 1)})
        sources.append(_terms("gene sets", args.gene_sets, vocabulary, table, report=report))
    if "string" in args.kinds:
        sources.append(_string(args, vocabulary, table, used))
    similarity = sources[0] if len(sources) == 1 else JoinedSimilarity(sources)
    with _bar(len(vocabulary)) as progress:
        graph = graph_of(
            similarity,
            args.neighbours,
            args.threshold,
            own_edges=args.own_edges,
            progress=progress,
        )
    graph.write(args.output)
    joined = int(similarity.known().sum())
    report |= {
        "genes": graph.genes,
        "genes with edges": joined,
        "edges": graph.edge_weight.size,
        "digest": graph.digest,
        "vocabulary digest": vocabulary.digest,
        "from": args.kinds,
        "neighbours": args.neighbours,
        "threshold": args.threshold,
        "own edges": args.own_edges,
        "propagated": args.propagate,
    }
    beside = write_report(args.output, used, report)
    print_facts(
        (
            ("graph", f"{args.output}: {graph.edge_weight.size:,} edges"),
            ("genes joined", f"{joined:,} of {graph.genes:,}"),
            ("digest", graph.digest),
            ("beside it", beside.name),
        )
    )
    return 0


def _go(
    args: argparse.Namespace,
    vocabulary: "GeneVocabulary",
    table: "GeneTable | None",
    used: dict[str, Path],
    report: dict[str, Any],
) -> "GeneSimilarity":
    from sclong_data.genes import official  # noqa: PLC0415  # keeps sclong --help fast
    from sclong_data.graph.ontology import GeneOntology  # noqa: PLC0415

    paths = args.annotations or [obtained(None, official.GO_ANNOTATIONS, args)]
    used.update({f"annotations {number}": path for number, path in enumerate(paths, 1)})
    ontology = None
    if args.ontology is not None or args.annotations is None or args.propagate:
        used["ontology"] = obtained(args.ontology, official.GO_TERMS, args)
        ontology = GeneOntology.read(used["ontology"])
    else:
        _LOG.info("no --ontology: terms are taken as the annotations give them")
    return _terms(
        "Gene Ontology",
        paths,
        vocabulary,
        table,
        report=report,
        options={
            "ontology": ontology,
            "propagate": args.propagate,
            "without_evidence": args.without_evidence,
        },
    )


def _terms(
    what: str,
    paths: list[Path],
    vocabulary: "GeneVocabulary",
    table: "GeneTable | None",
    *,
    report: dict[str, Any],
    options: dict[str, Any] | None = None,
) -> "GeneSimilarity":
    """The similarity by terms of several files together."""
    from sclong_data.graph.annotations import (  # noqa: PLC0415  # keeps sclong --help fast
        collect_terms,
        terms_in_order,
    )
    from sclong_data.graph.reading import read_annotations  # noqa: PLC0415
    from sclong_data.graph.similarity import TermSimilarity  # noqa: PLC0415

    settings = dict(options or {})
    without = settings.pop("without_evidence", ())
    statements = (
        said for path in paths for said in read_annotations(path, without_evidence=without)
    )
    found = collect_terms(statements, table, **settings)
    terms = terms_in_order(found.terms, vocabulary, table)
    others = [f"{why}: {n:,}" for why, n in sorted(found.counts.items()) if why != "used"]
    _LOG.info(
        "%s: %s of %s statements count (%s)",
        what,
        f"{found.used:,}",
        f"{found.counts.total():,}",
        ", ".join(others) or "no other",
    )
    report[what] = {
        "statements": dict(found.counts),
        "alternative ids resolved": found.resolved,
        "genes": len(found.terms),
        "terms": len(set().union(*found.terms.values())),
        "genes of the vocabulary": sum(map(bool, terms.values())),
        "ambiguous": sorted(found.ambiguous),
        "unknown": sorted(found.unknown),
    }
    return TermSimilarity(terms, vocabulary.ids)


def _string(
    args: argparse.Namespace,
    vocabulary: "GeneVocabulary",
    table: "GeneTable | None",
    used: dict[str, Path],
) -> "GeneSimilarity":
    from sclong_data.genes import official  # noqa: PLC0415  # keeps sclong --help fast
    from sclong_data.graph.interactions import read_string  # noqa: PLC0415

    used["STRING links"] = obtained(args.string_links, official.STRING_LINKS, args)
    used["STRING names"] = obtained(args.string_names, official.STRING_ALIASES, args)
    return read_string(
        used["STRING links"],
        used["STRING names"],
        vocabulary.ids,
        table,
        minimum_score=args.string_score,
    )


@contextmanager
def _bar(genes: int) -> Iterator[Callable[[int], None] | None]:
    if not is_interactive():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415  # only with someone watching
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("genes", total=genes)
        yield lambda done: bar.update(task, completed=done)


command = GraphBuildCommand()
