"""What holds for every published model: cells alone decide, bad folders and cells are one line."""

import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.human_genes import human_genes
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder, make_slot
from sclong_tasks.encoders.genes import by_other_symbols
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.encoders.published_model import batches_by_length
from sclong_tasks.encoders.registry import PUBLISHED, get_encoder, model_class, recognise
from sclong_tasks.encoders.tiny import WRITERS, write_tiny
from sclong_tasks.registry import get_model, get_task
from sclong_tasks.task import RunContext
from tests.support.published import GENES, furthest, messages, tiny_cells, tiny_folder

NAMES = tuple(PUBLISHED)


def table(cells):
    values = np.asarray(cells.X, np.float32)
    return ExpressionTable(values, tuple(cells.obs_names), tuple(cells.var["symbol"]), "counts")


def test_every_model_has_a_tiny_checkpoint_that_is_recognised(tmp_path):
    assert tuple(WRITERS) == NAMES
    for name in NAMES:
        assert recognise(tiny_folder(name, tmp_path)) == name
    assert recognise(tmp_path / "nowhere") == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_depends_on_nothing_but_itself(name, tmp_path):
    encoder = get_encoder(name, tiny_folder(name, tmp_path))
    cells = tiny_cells(12)
    found = encoder.embed(cells)
    assert found.shape == (12, encoder.width)
    assert found.dtype == np.float32
    assert len(np.unique(found.round(4), axis=0)) == 12
    alone = np.concatenate([encoder.embed(cells[number]) for number in range(12)])
    assert furthest(alone, found) < 1e-5
    encoder.batch_size = 3
    assert furthest(encoder.embed(cells[::-1])[::-1], found) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_logged_counts_give_the_vectors_of_the_counts(name, tmp_path, caplog):
    encoder = get_encoder(name, tiny_folder(name, tmp_path))
    caplog.set_level("INFO")
    expected = encoder.embed(tiny_cells(30))
    assert "holds whole numbers" in messages(caplog)
    found = encoder.embed(tiny_cells(30, log=True))
    assert "the logarithm is undone, counts follow exactly, up to a factor" in messages(caplog)
    assert furthest(found, expected) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_a_factor_that_counts_share_cannot_be_seen_in_their_logarithm(name, tmp_path, caplog):
    """It is said of every file, and by name of cells of so few genes that there may be one."""
    encoder = get_encoder(name, tiny_folder(name, tmp_path))
    cells = tiny_cells(30, seed=1)
    cells.X[4] = 0
    cells.X[4, [3, 7, 11]] = 2, 40, 80
    halved = cells.copy()
    halved.X[4] /= 2
    logged = cells.copy()
    logged.X = np.log1p(cells.X / cells.X.sum(1, keepdims=True) * 1e4)
    found = encoder.embed(logged)
    assert furthest(found, encoder.embed(halved)) < 1e-5
    warned = "1 of 30 cells express fewer than 10 genes (the first is 'cell 4')" in messages(caplog)
    by_ratios = name in ("scgpt", "geneformer")
    assert warned != by_ratios
    assert (furthest(found, encoder.embed(cells)) < 1e-5) == by_ratios


@pytest.mark.parametrize("name", NAMES)
def test_what_are_not_counts_is_refused(name, tmp_path):
    encoder = get_encoder(name, tiny_folder(name, tmp_path))
    cells = tiny_cells(20)
    for change, message in (
        (np.sqrt, "give raw counts"),
        (lambda x: x - 1, "negative values"),
        (lambda x: np.where(x > 3, np.nan, x), "NaN"),
        (lambda x: x * (np.arange(20) != 4)[:, None], "no counts in 1 of its cells"),
    ):
        changed = cells.copy()
        changed.X = change(np.asarray(cells.X)).astype(np.float32)
        with pytest.raises(InputError, match=message):
            encoder.embed(changed)


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_without_any_known_gene_is_named(name, tmp_path):
    encoder = get_encoder(name, tiny_folder(name, tmp_path))
    cells = tiny_cells(20)
    values = np.asarray(cells.X).copy()
    known = ~cells.var["symbol"].str.startswith("UNKNOWN").to_numpy()
    values[7, known], values[7, ~known] = 0, 5
    cells.X = values
    with pytest.raises(InputError, match=r"1 of 20 cells express no gene .* 'cell 7'"):
        encoder.embed(cells)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_that_are_missing_left_over_or_of_another_shape_are_named(name, tmp_path):
    folder = tiny_folder(name, tmp_path)
    path, state, put_back = weights_of(folder)
    first = sorted(
        part for part in state if part.endswith(("norm2.weight", "output.LayerNorm.weight"))
    )[0]
    plain = first.removeprefix("model.")
    put_back({part: tensor for part, tensor in state.items() if part != first})
    with pytest.raises(CheckpointError, match=f"{path.name} lacks 1 tensor .*{plain}"):
        get_encoder(name, folder)
    put_back({**state, "something.else": torch.zeros(2)})
    with pytest.raises(
        CheckpointError, match=r"1 tensor \(something.else\) that this model has no"
    ):
        get_encoder(name, folder)
    put_back({**state, first: torch.zeros(3)})
    with pytest.raises(CheckpointError, match=rf"{plain} has the shape \(3,\), not"):
        get_encoder(name, folder)
    put_back({**state, first: torch.full_like(state[first], torch.nan)})
    with pytest.raises(CheckpointError, match="holds NaN or infinite values"):
        get_encoder(name, folder)


def weights_of(folder):
    from safetensors.torch import load_file, save_file  # noqa: PLC0415  # only here

    path = max((one for one in folder.iterdir() if one.suffix != ".h5ad"), key=size_of_weights)
    if path.suffix == ".safetensors":
        return path, load_file(path), lambda state: save_file(state, path)
    content = torch.load(path, weights_only=True)
    if "cell" not in content:
        return path, content, lambda state: torch.save(state, path)
    state = content["cell"]["state_dict"]

    def put_back(changed):
        torch.save({**content, "cell": {**content["cell"], "state_dict": changed}}, path)

    return path, state, put_back


def size_of_weights(path):
    usual = {".safetensors", ".bin", ".pt", ".ckpt", ".torch"}
    known = path.suffix in usual and path.name != "all_tokens.torch"
    return path.stat().st_size if known else 0


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_read_without_being_executed(name, tmp_path):
    import pickle  # noqa: PLC0415  # only here

    folder = tiny_folder(name, tmp_path)
    path, _, _ = weights_of(folder)
    if path.suffix == ".safetensors":
        path.write_bytes(b"nothing")
    else:
        path.write_bytes(pickle.dumps({"x": print}))
    with pytest.raises(CheckpointError, match=str(path.name)):
        get_encoder(name, folder)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_folders_are_named(name, tmp_path):
    with pytest.raises(CheckpointError, match="is not a folder"):
        get_encoder(name, tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="does not hold the files of"):
        get_encoder(name, tmp_path)
    other = next(one for one in NAMES if one != name)
    with pytest.raises(CheckpointError, match="they are of "):
        get_encoder(name, tiny_folder(other, tmp_path))
    folder = tiny_folder(name, tmp_path)
    path, _, _ = weights_of(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"weights|does not hold the files"):
        get_encoder(name, folder)


def test_an_unknown_model_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no published encoder 'bert': choose scgpt"):
        get_encoder("bert", tmp_path)
    with pytest.raises(ConfigError, match="there is no tiny 'bert'"):
        write_tiny("bert", tmp_path, GENES)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_is_near_and_float32_returned(name, tmp_path):
    folder = tiny_folder(name, tmp_path)
    cells = tiny_cells()
    found = get_encoder(name, folder, dtype="bfloat16").embed(cells)
    expected = get_encoder(name, folder).embed(cells)
    assert found.dtype == np.float32
    assert 0 < furthest(found, expected) < 0.2 * np.abs(expected).max()
    with pytest.raises(ConfigError, match="dtype must be"):
        get_encoder(name, folder, dtype="int8")


def test_batches_hold_cells_of_nearly_one_length():
    class Cell:
        def __init__(self, length):
            self.ids = np.zeros(length)

    lengths = [5, 100, 5, 101, 5, 5, 30]
    found = batches_by_length([Cell(length) for length in lengths], 3, in_order=False)
    assert [list(part) for part in found] == [[0, 2, 4], [5], [6], [1, 3]]
    found = batches_by_length([Cell(length) for length in lengths], 3, in_order=True)
    assert [list(part) for part in found] == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tuning", ["frozen", "full", "lora"])
def test_tasks_train_it_or_leave_it_as_it_is(name, tuning, tmp_path):
    folder = tiny_folder(name, tmp_path)
    cells = table(tiny_cells(6))
    context = RunContext(seed=0, protocol="honest", cache=tmp_path / "cache", scratch=tmp_path)
    if tuning == "lora":
        pytest.importorskip("peft")
    options = EncoderOptions(name=name, path=str(folder), tuning=tuning, lora_rank=2)
    slot, facts = make_slot(options, context, cells)
    expected = make_encoder(EncoderOptions(name=name, path=str(folder)), context, cells.genes)
    slot.eval()
    with torch.no_grad():
        found = slot(torch.tensor([4, 1, 4]))
    assert furthest(found, expected.cells(cells).values[[4, 1, 4]]) < 1e-5
    assert facts["coverage"].startswith("40 of 42 genes are known")
    trained = {key for key, value in slot.named_parameters() if value.requires_grad}
    assert bool(trained) == (tuning != "frozen")
    if trained:
        slot(torch.tensor([0, 1])).square().sum().backward()
        assert any(
            value.grad is not None and value.grad.abs().sum() > 0
            for value in slot.parameters()
            if value.requires_grad
        )
        assert tuning == "full" or all("lora_" in key for key in trained)


def test_a_folder_inside_the_folder_is_found(tmp_path):
    folder = tiny_folder("scgpt", tmp_path)
    outer = tmp_path / "download"
    outer.mkdir()
    shutil.move(folder, outer / "scGPT_human")
    assert recognise(outer) == "scgpt"
    assert get_encoder("scgpt", outer).width == 16


TAKES_AN_ENCODER = (
    "batch_integration",
    "chemical_perturbation",
    "drug_combination",
    "drug_response",
    "genetic_perturbation",
    "grn",
    "marker_clustering",
)


@pytest.mark.parametrize("task", TAKES_AN_ENCODER)
def test_every_task_that_takes_an_encoder_has_a_model_of_each(task):
    found = get_task(task)
    assert set(NAMES) <= set(found.models)
    for name in NAMES:
        options = get_model(found, name).Options()
        assert (options.encoder.name, options.encoder.tuning) == (name, "frozen")
    if task.startswith("drug_"):
        assert get_model(found, "uce_lora").Options().encoder.tuning == "lora"
        assert get_model(found, "uce_finetuned").Options().encoder.tuning == "full"
        assert get_model(found, "uce_lora") is get_model(found, "uce_lora")


def test_genes_in_cells_have_the_names_of_the_data_and_others_the_mean(tmp_path):
    encoder = get_encoder("scgpt", tiny_folder("scgpt", tmp_path))
    cells = tiny_cells()
    found = encoder.genes_in_cells(table(cells))
    expected, names = encoder.gene_representations(cells)
    assert found.names == tuple(cells.var["symbol"])
    rows = [found.names.index(name) for name in names]
    assert furthest(found.values[rows], expected) < 1e-5
    unknown = found.names.index("UNKNOWN1")
    assert furthest(found.values[unknown], expected.mean(0)) < 1e-4


RENAMED = {
    "ENSG00000184640": ("SEPT9", "SEPTIN9"),
    "ENSG00000141510": ("TP53", "TP53"),
    "ENSG00000012048": ("BRCA1", "BRCA1"),
    "ENSG00000145016": ("KIAA0226", "RUBCN"),
}
"""Human genes: an earlier symbol, or the symbol where there is none, and the symbol of today."""
BY_SYMBOL = tuple(name for name in NAMES if "symbol" in model_class(name).card.genes_by)


def cells_named(names, *, seed=0):
    counts = np.random.default_rng(seed).poisson(3.0, (5, len(names))).astype(np.float32) + 1
    obs = pd.DataFrame(index=[f"cell {number}" for number in range(5)])
    return anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=list(names)))


@pytest.mark.parametrize("name", BY_SYMBOL)
@pytest.mark.parametrize("theirs", [0, 1])
def test_genes_are_found_by_another_symbol_of_the_table_and_it_is_said(
    name, theirs, tmp_path, caplog
):
    write_tiny(name, tmp_path / name, {gene: pair[theirs] for gene, pair in RENAMED.items()})
    encoder = get_encoder(name, tmp_path / name)
    own = cells_named([pair[theirs] for pair in RENAMED.values()])
    other = cells_named([pair[1 - theirs] for pair in RENAMED.values()])
    expected = encoder.embed(own)
    caplog.set_level("INFO")
    assert np.array_equal(encoder.embed(other), expected)
    told = messages(caplog)
    assert "4 of 4 genes are known" in told
    assert "2 of them by another symbol of the same gene" in told
    assert "SEPTIN9 (SEPT9)" in told or "SEPT9 (SEPTIN9)" in told
    in_task = encoder.cells(table_of(other))
    assert furthest(in_task.values, expected) < 1e-5
    assert in_task.coverage.known == 4
    found, names = encoder.gene_representations(other)
    assert set(names) == set(other.var_names)
    assert len(found) == 4


def table_of(cells):
    values = np.asarray(cells.X, np.float32)
    return ExpressionTable(values, tuple(cells.obs_names), tuple(cells.var_names), "counts")


@pytest.mark.parametrize("name", BY_SYMBOL)
def test_another_symbol_never_takes_the_place_of_a_gene_that_is_there(name, tmp_path, caplog):
    write_tiny(name, tmp_path / name, {gene: pair[0] for gene, pair in RENAMED.items()})
    encoder = get_encoder(name, tmp_path / name)
    both = cells_named(["SEPT9", "SEPTIN9", "TP53"])
    caplog.set_level("INFO")
    assert np.array_equal(encoder.embed(both), encoder.embed(both[:, ["SEPT9", "TP53"]]))
    assert "2 of 3 genes are known" in messages(caplog)
    assert "another symbol" not in messages(caplog)


def test_symbols_of_other_species_are_not_those_of_human_genes(tmp_path):
    write_tiny("genecompass", tmp_path, {gene: pair[0] for gene, pair in RENAMED.items()})
    found = get_encoder("genecompass", tmp_path, species="mouse")
    assert found.arrange(cells_named(["SEPTIN9", "TP53"]).var).unknown == ("SEPTIN9",)


def test_ids_are_not_looked_up_as_symbols():
    asked = []

    def knows(names):
        asked.append(list(names))
        return np.array([name == "SEPTIN9" for name in names], dtype=bool)

    assert by_other_symbols(["ENSG00000184640", "", "ENSMUSG00000000001"], knows) == {}
    assert len(asked) == 1
    assert by_other_symbols(["SEPT9", "X"], knows) == {0: "SEPTIN9"}
    _, *earlier = human_genes().names_of("ENSG00000184640")
    assert by_other_symbols(earlier[:2], knows) == {}  # both are one gene: which is not guessed


FREE_OF_ORDER = {
    "scgpt": {"draws": "cell"},
    "geneformer": {"ties": "token"},
    "uce": {"draws": "cell"},
    "scfoundation": {},
    "genecompass": {"ties": "token"},
}


@pytest.mark.parametrize("name", NAMES)
def test_an_option_makes_vectors_the_same_in_any_order_of_genes(name, tmp_path):
    """Ties among all genes, and more of them than fit: where the order of the data decides."""
    cells = tiny_cells(12)
    cells.X = np.asarray(cells.X) + 1
    order = np.random.default_rng(1).permutation(cells.n_vars)
    folder = tiny_folder(name, tmp_path)
    encoder = get_encoder(name, folder, **FREE_OF_ORDER[name])
    found = encoder.embed(cells)
    assert furthest(encoder.embed(cells[::-1, order])[::-1], found) < 1e-5
    if FREE_OF_ORDER[name]:
        plain = get_encoder(name, folder)
        assert furthest(plain.embed(cells[:, order]), plain.embed(cells)) > 1e-4
