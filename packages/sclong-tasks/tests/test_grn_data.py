"""BEELINE's files as published: what is read, what is left out and named, and what is refused."""

import gzip
import logging

import numpy as np
import pandas as pd
import pytest

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.data_files import prepare_data
from sclong_tasks.grn import task
from sclong_tasks.grn.config import GrnSettings
from sclong_tasks.grn.data import load
from sclong_tasks.grn.example import NetworkSizes, write_network_files
from sclong_tasks.grn.names import GeneNames
from sclong_tasks.grn.reading import (
    read_expression,
    read_factors,
    read_network,
    read_weights,
)
from tests.support.places import shared_folder


@pytest.fixture
def files(tmp_path):
    write_network_files(tmp_path / "files", NetworkSizes(factors=4, genes=10, cells=12))
    return tmp_path / "files"


def loaded(files, tmp_path, name="data", **settings):
    prepare_data(task, tmp_path / name, str(files), overwrite=True)
    return load(tmp_path / name, GrnSettings(**settings))


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_candidates_are_edges_from_factors_to_all_genes_of_the_network(files, tmp_path):
    data = loaded(files, tmp_path)
    edges = pd.read_csv(files / "refNetwork.csv")
    rows = data.rows_of("reference")
    nodes = len({*edges["Gene1"], *edges["Gene2"]})
    factors = edges["Gene1"].nunique()
    assert len(rows) == factors * nodes - factors
    assert data.edge[rows].sum() == len(edges)
    labels = data.labels.iloc[rows][data.edge[rows] == 1]
    found = set(zip(labels["Gene1"], labels["Gene2"], strict=True))
    assert found == set(zip(edges["Gene1"], edges["Gene2"], strict=True))
    assert set(data.networks) == {"specific", "string", "reference"}
    assert data.hide(rows).truth["edge"].iloc[rows].isna().all()
    assert data.digest != data.hide(rows).digest


def test_pairs_and_self_loops_are_by_choice(files, tmp_path, caplog):
    caplog.set_level(logging.INFO, "sclong")
    edges = pd.read_csv(files / "refNetwork.csv")
    loop = edges.iloc[:1].assign(Gene2=edges["Gene1"].iloc[0])
    pd.concat([edges, loop, edges.iloc[:2]]).to_csv(files / "refNetwork.csv", index=False)
    nodes = len({*edges["Gene1"], *edges["Gene2"]})
    pairs = loaded(files, tmp_path, candidates="pairs")
    assert len(pairs.rows_of("reference")) == nodes**2 - nodes
    assert "2 edges of refNetwork.csv occur twice and count once" in caplog.text
    assert "1 edges of a gene to itself are left out" in caplog.text
    with_loops = loaded(files, tmp_path, self_loops=True)
    rows = with_loops.rows_of("reference")
    assert len(rows) == edges["Gene1"].nunique() * nodes
    assert with_loops.edge[rows].sum() == len(edges) + 1
    with pytest.raises(InputError, match="more than 10"):
        loaded(files, tmp_path, most_candidates=10)


def test_genes_that_are_absent_or_constant_are_named_and_counted(files, tmp_path, caplog):
    caplog.set_level(logging.INFO, "sclong")
    table = pd.read_csv(files / "ExpressionData.csv", index_col=0)
    factor, target = table.index[0], table.index[-1]
    table.loc[table.index[5]] = 1.5
    table.drop([factor, target]).to_csv(files / "ExpressionData.csv")
    loaded(files, tmp_path)
    assert "1 genes never vary, so expression cannot show their edges: " in caplog.text
    assert f"network reference: 1 transcription factors are not measured: {factor}" in caplog.text
    assert f"network reference: 1 targets are not measured: {target}" in caplog.text
    assert "edges are left out with them" in caplog.text
    assert f"1 listed factors are not measured: {factor}" in caplog.text


def test_factors_without_edges_and_sources_without_list_are_named(files, tmp_path, caplog):
    caplog.set_level(logging.INFO, "sclong")
    names = pd.read_csv(files / "ExpressionData.csv", index_col=0).index
    listed = pd.DataFrame({"TF": [names[0], names[-1]]})
    listed.to_csv(files / "human-tfs.csv", index=False)
    data = loaded(files, tmp_path)
    assert f"1 listed factors have no edge in any network: {names[-1]}" in caplog.text
    assert f"sources of edges are not listed factors: {names[1]}" in caplog.text
    assert names[-1] in [data.genes[place] for place in data.factors]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("NaN", "1 values are not numbers, the first, 'NaN', of gene 'b' in cell 'y'"),
        ("high", "'high'"),
        ("", "''"),
        ("-1", "negative"),
        ("inf", "'inf'"),
    ],
)
def test_expression_that_is_no_number_is_refused_by_gene_and_cell(value, what, tmp_path):
    path = write(tmp_path / "ExpressionData.csv", f",x,y\na,1,2\nb,3,{value}\n")
    with pytest.raises(InputError, match=what):
        read_expression(path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (",x\na,1\na,2\n", "1 genes occur twice: a"),
        (",x\n,1\n", "1 genes have no name"),
        (",x\n", "0 genes and 1 cells"),
        ("", "is not a table"),
    ],
)
def test_other_expression_is_refused(text, what, tmp_path):
    with pytest.raises(InputError, match=what):
        read_expression(write(tmp_path / "e.csv", text))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("TF,Target\na,b\n", "no column Gene1, Gene2: it has TF, Target"),
        ("Gene1,Gene2\na,b\nc,\n", "line 3: 1 edges have a gene without name"),
        ("Gene1,Gene2\n", "has no edge"),
    ],
)
def test_networks_that_are_none_are_refused(text, what, tmp_path):
    with pytest.raises(InputError, match=what):
        read_network(write(tmp_path / "network.csv", text))


def test_a_gene_may_be_called_na(tmp_path):
    network = read_network(write(tmp_path / "n.csv", "Gene1,Gene2,Score\nNA, b,3\n"))
    assert network.to_numpy().tolist() == [["NA", "b"]]


def test_lists_of_factors_in_both_forms(tmp_path):
    assert read_factors(write(tmp_path / "a.csv", "TF,Sources\nB,x|y\nA,x\nB,z\n")) == ("B", "A")
    assert read_factors(write(tmp_path / "b.csv", ",TF,index\n0,B,3\n1,A,5\n")) == ("B", "A")
    with pytest.raises(InputError, match="no column TF"):
        read_factors(write(tmp_path / "c.csv", "name\nB\n"))
    with pytest.raises(InputError, match="names no transcription factor"):
        read_factors(write(tmp_path / "d.csv", "TF,Sources\n,x\n"))


def test_weights_with_tabs_or_commas(tmp_path):
    text = "Gene1\tGene2\tEdgeWeight\na\tb\t-0.5\n"
    tabs = read_weights(write(tmp_path / "rankedEdges.csv", text))
    with gzip.open(tmp_path / "w.csv.gz", "wt") as file:
        file.write(text.replace("\t", ","))
    pd.testing.assert_frame_equal(tabs, read_weights(tmp_path / "w.csv.gz"))
    with pytest.raises(InputError, match="line 2: 1 weights are not numbers, the first 'x'"):
        read_weights(write(tmp_path / "x.csv", text.replace("-0.5", "x")))
    with pytest.raises(InputError, match="1 edges occur twice, a to b"):
        read_weights(write(tmp_path / "y.csv", text + "a\tb\t1\n"))
    with pytest.raises(InputError, match="no column EdgeWeight"):
        read_weights(write(tmp_path / "z.csv", "Gene1,Gene2\na,b\n"))


def test_networks_of_other_genes_are_refused(files, tmp_path):
    edges = pd.read_csv(files / "refNetwork.csv")
    edges.iloc[:1].assign(Gene1="q", Gene2="r").to_csv(files / "refNetwork.csv", index=False)
    with pytest.raises(InputError, match="0 of its 2 genes are among"):
        loaded(files, tmp_path)
    edges.iloc[:1].assign(Gene2="r").to_csv(files / "refNetwork.csv", index=False)
    with pytest.raises(InputError, match="no edge of the network reference is between genes"):
        loaded(files, tmp_path)
    loops = edges.iloc[:1].assign(Gene2=edges["Gene1"].iloc[0])
    loops.to_csv(files / "refNetwork.csv", index=False)
    with pytest.raises(InputError, match="no edges but of genes to themselves"):
        loaded(files, tmp_path)


def test_genes_with_other_capitals_are_found_and_said(files, tmp_path, caplog):
    plain = loaded(files, tmp_path, "plain")
    edges = pd.read_csv(files / "refNetwork.csv")
    lower = edges.assign(Gene1=edges["Gene1"].str.lower(), Gene2=edges["Gene2"].str.capitalize())
    lower.to_csv(files / "refNetwork.csv", index=False)
    data = loaded(files, tmp_path, "lower")
    for name in ("source", "target", "edge"):
        assert np.array_equal(getattr(data, name), getattr(plain, name))
    assert "but for upper and lower case" in caplog.text
    assert {record.levelname for record in caplog.records} >= {"WARNING"}


def test_an_exact_name_wins_over_other_capitals_and_two_such_genes_are_none():
    names = GeneNames(["Sox2", "SOX2", "Klf4", "C3", "c9ORF72", "C9orf72"])
    assert names.places(["SOX2", "Sox2", "KLF4", "c3", "sox2", "C9ORF72", "x"]).tolist() == [
        1, 0, 2, 3, -1, -1, -1,
    ]  # fmt: skip


def test_a_network_with_other_names_is_refused_though_a_few_fit():
    names = GeneNames([f"Gene{number}x" for number in range(80)] + ["C3", "F3"])
    ids = [f"ENSG{number}" for number in range(60)]
    edges = pd.DataFrame({"Gene1": [*ids, "C3"], "Gene2": [*ids[::-1], "F3"]})
    with pytest.raises(InputError, match="2 of its 62 genes are among the 82 of the expression"):
        names.edges("network string", edges)
    part = pd.DataFrame({"Gene1": ["C3"], "Gene2": ["F3"]})
    assert names.edges("network string", part).tolist() == [[80, 81]]


def network_with(kept, lost):
    """Edges of which some are between two genes of the expression, and the others from one."""
    known = [(f"F{number % 5}", f"G{number}") for number in range(kept)]
    strange = [(f"F{number % 5}", f"ENSG{number:011d}") for number in range(lost)]
    return pd.DataFrame([*known, *strange], columns=["Gene1", "Gene2"])


def test_a_network_of_which_hardly_an_edge_fits_is_refused_though_its_factors_do():
    genes = GeneNames(
        [f"F{number}" for number in range(5)] + [f"G{number}" for number in range(40)]
    )
    what = "8 of its 1,208 edges are between genes of the expression.*network has ENSG0"
    with pytest.raises(InputError, match=what):
        genes.edges("network string", network_with(8, 1200))
    for kept, lost in ((8, 60), (40, 5000), (29, 261)):  # few of few, a network of all genes
        found = genes.edges("network string", network_with(kept, lost))
        assert (found >= 0).all(axis=1).sum() == kept


def test_a_network_without_a_pair_that_is_no_edge_is_refused(files, tmp_path):
    edges = pd.read_csv(files / "refNetwork.csv")
    edges.iloc[:1].to_csv(files / "refNetwork.csv", index=False)
    with pytest.raises(InputError, match="all 1 candidates of the network reference are edges"):
        loaded(files, tmp_path)
    pairs = loaded(files, tmp_path, candidates="pairs")
    assert pairs.truth["edge"][pairs.rows_of("reference")].tolist() == [1, 0]


def test_a_network_is_needed_and_expression_is_not(files, tmp_path):
    (files / "ExpressionData.csv").unlink()
    data = loaded(files, tmp_path)
    with pytest.raises(InputError, match="networks without expression"):
        _ = data.cells
    with pytest.raises(InputError, match="no network 'lofgof' in the data: it has specific"):
        task.split(data, scenario="lofgof", seed=0, settings=GrnSettings())
    for path in files.glob("*etwork.csv"):
        path.unlink()
    with pytest.raises(InputError, match="no network is there: give one of"):
        loaded(files, tmp_path)


def test_wrong_settings_are_refused():
    assert GrnSettings().scale == GrnSettings.for_protocol("published").scale == "log1p"
    for change in ({"candidates": "x"}, {"ties": "x"}, {"scale": "x"}, {"bootstrap": -1}):
        with pytest.raises(ConfigError, match="task"):
            GrnSettings(**change)
    assert GrnSettings.for_protocol("published").self_loops


def scales():
    """The same cells as counts, as scaled values without the logarithm, and as logarithms."""
    made = np.random.default_rng(0)
    counts = made.poisson(made.gamma(0.6, size=10) + 2, size=(12, 10)).astype(np.float32)
    share = counts / counts.sum(axis=1, keepdims=True)
    return {
        "counts": counts, "presence": np.ones((12, 10)), "cpm": share * 1e6,
        "part": share[:, :9] * 1e6, "shares": share,
        "noise": made.uniform(25, 90, size=(12, 10)), "log2": np.log2(1 + share * 1e4),
        "log1p": np.log1p(share * 1e4), "log": np.log1p(share[:, :9] * 1e4),
        "rounded": np.log1p(share * 1e4).round(2), "none": made.uniform(0, 9, size=(12, 10)),
    }  # fmt: skip


def with_values(files, values):
    table = pd.read_csv(files / "ExpressionData.csv", index_col=0)
    table = pd.DataFrame(values.T, index=table.index[: values.shape[1]], columns=table.columns)
    table.to_csv(files / "ExpressionData.csv")


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("counts", "holds whole numbers, up to .*, as counts are: set task.scale=counts"),
        ("presence", "the value 1 alone .* as presence and absence do.*task.scale=counts"),
        ("cpm", "scaled counts without the logarithm.*task.scale=tpm"),
        ("part", "scaled counts without the logarithm.*task.scale=tpm"),
        ("shares", "without the logarithm.*task.scale=tpm"),
        ("noise", "values up to .*, too high for logarithms.*task.scale=tpm"),
        ("log2", r"log2\(1 \+ x\) of scaled counts.*task.scale=log2"),
    ],
)
def test_expression_that_is_no_log1p_is_refused_unless_the_scale_is_said(
    kind, what, files, tmp_path
):
    with_values(files, scales()[kind])
    with pytest.raises(InputError, match=what):
        loaded(files, tmp_path)
    as_stored = load(tmp_path / "data", GrnSettings(scale="stored")).cells
    assert as_stored.scale == "log1p"
    np.testing.assert_allclose(as_stored.values, scales()[kind], rtol=1e-6)
    counts = load(tmp_path / "data", GrnSettings(scale="counts")).cells
    np.testing.assert_allclose(np.expm1(counts.log1p).sum(axis=1), 10_000, rtol=1e-5)


@pytest.mark.parametrize("kind", ["log1p", "log", "rounded", "none"])
def test_logarithms_and_what_may_be_one_are_read_as_they_are(kind, files, tmp_path):
    with_values(files, scales()[kind])
    data = loaded(files, tmp_path)
    assert data.cells.scale == "log1p"
    np.testing.assert_allclose(data.cells.log1p, scales()[kind], rtol=1e-6)
    assert data.digest == load(tmp_path / "data", GrnSettings(scale="stored")).digest


@pytest.mark.real_data
def test_the_three_networks_of_mouse_dendritic_cells_are_read_as_published(tmp_path):
    folder = shared_folder("data/grn")
    if folder is None:
        pytest.skip("the shared data are not here")
    data = loaded(folder / "beeline_mDC_500", tmp_path)
    assert data.cells.values.shape == (383, 821)
    sizes = {
        name: (len(data.rows_of(name)), int(data.edge[data.rows_of(name)].sum()))
        for name in data.networks
    }
    assert sizes == {
        "specific": (20 * 448 - 20, 756),
        "non_specific": (250 * 643 - 250, 3067),
        "string": (264 * 487 - 264, 4815),
    }
    simulated = loaded(folder / "beeline_GSD", tmp_path, "gsd")
    assert np.isfinite(simulated.cells.values).all()
    assert simulated.edge.sum() == 76


def test_networks_of_other_genes_are_refused_before_anything_is_prepared(files, tmp_path):
    path = next(files.glob("*etwork*.csv"))
    table = pd.read_csv(path)
    for column in ("Gene1", "Gene2"):
        table[column] = [f"OTHER{name}" for name in table[column]]
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match="0 of its 10 genes are among the 10 of the expr"):
        prepare_data(task, tmp_path / "data", str(files))
    assert not (tmp_path / "data").exists()


def test_expression_that_is_no_log1p_is_said_when_it_is_prepared(files, tmp_path, caplog):
    with_values(files, scales()["counts"])
    prepare_data(task, tmp_path / "data", str(files))
    assert "as counts are: set task.scale=counts" in caplog.text
