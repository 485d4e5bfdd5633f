"""Sets of labels rolled up by the Cell Ontology."""

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.cli.main import main
from sclong_core.errors import InputError
from sclong_tasks.annotation.ontology import CellOntology, rolled_up, unknown_labels

OBO = """format-version: 1.2
ontology: cl

[Term]
id: CL:0000000
name: cell

[Term]
id: CL:0000542
name: lymphocyte
is_a: CL:0000000

[Term]
id: CL:0000084
name: T cell
synonym: "T lymphocyte" EXACT []
synonym: "thymus cell" RELATED []
is_a: CL:0000542

[Term]
id: CL:0000624
name: CD4-positive, alpha-beta T cell
is_a: CL:0000084

[Term]
id: CL:0000625
name: CD8-positive, alpha-beta T cell
alt_id: CL:0000001
is_a: CL:0000084

[Term]
id: CL:0000236
name: B cell
is_a: CL:0000542
is_a: GO:0000001

[Term]
id: CL:0000003
name: native cell
is_obsolete: true
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "cl.obo").write_text(OBO)
    return tmp_path / "cl.obo"


def test_labels_are_found_by_id_name_and_exact_synonym(path):
    ontology = CellOntology.read(path)
    for label in ("CL:0000084", "CL_0000084", "t cell", "  T  cell ", "T lymphocyte"):
        assert ontology.term(label) == "CL:0000084", label
    assert ontology.term("CL:0000001") == "CL:0000625"
    for label in ("thymus cell", "native cell", "CL:0000003", "neuron", ""):
        assert ontology.term(label) is None, label
    assert unknown_labels(["B cell", "neuron"], ontology) == ["neuron"]


def test_a_set_becomes_the_narrowest_type_that_holds_it(path):
    labels = ["CD4-positive, alpha-beta T cell", "CL:0000625", "B cell", "T cell", "neuron"]
    contained = np.array(
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 1],
         [0, 0, 0, 0, 0]], dtype=bool,
    )  # fmt: skip
    found = rolled_up(labels, contained, CellOntology.read(path))
    assert found["broad_term"].tolist() == [
        "CL:0000624", "CL:0000084", "CL:0000542", "CL:0000084", "", "",
    ]  # fmt: skip
    assert found["broad_label"].tolist()[1:3] == ["T cell", "lymphocyte"]


def test_of_several_narrowest_types_the_deeper_is_taken(path):
    path.write_text(
        OBO + "\n[Term]\nid: CL:0000010\nname: a\nis_a: CL:0000084\nis_a: CL:0000236\n"
        "\n[Term]\nid: CL:0000011\nname: b\nis_a: CL:0000084\nis_a: CL:0000236\n"
    )
    assert CellOntology.read(path).common(["CL:0000010", "CL:0000011"]) == "CL:0000084"


def test_what_is_no_cell_ontology_is_refused(path, tmp_path):
    with pytest.raises(InputError, match="none of the labels"):
        rolled_up(["x", "y"], np.ones((2, 2), dtype=bool), CellOntology.read(path))
    (tmp_path / "go.obo").write_text("format-version: 1.2\n\n[Term]\nid: GO:0000001\nname: x\n")
    with pytest.raises(InputError, match=r"no type of cells"):
        CellOntology.read(tmp_path / "go.obo")
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(InputError, match=r"not an ontology in OBO format: give cl-basic\.obo"):
        CellOntology.read(tmp_path / "page.html")


def test_the_command_adds_columns_and_takes_them_away_again(path, tmp_path, caplog):
    draw = np.random.default_rng(0)
    types = np.repeat(["CD4-positive, alpha-beta T cell", "CL:0000625", "mystery"], 80)
    middles = {
        "CD4-positive, alpha-beta T cell": [1, 0.2],
        "CL:0000625": [1, -0.2],
        "mystery": [-1, 0],
    }
    vectors = np.array([middles[one] for one in types]) + 0.2 * draw.normal(size=(240, 2))
    vectors = np.concatenate([vectors, 0.2 * draw.normal(size=(240, 3))], axis=1)
    cells = anndata.AnnData(np.zeros((240, 1), dtype=np.float32))
    cells.obs["cell_type"] = types
    cells.obsm["X_any"] = vectors.astype(np.float32)
    half = draw.permutation(240)
    cells[half[:160]].copy().write_h5ad(tmp_path / "reference.h5ad")
    cells[half[160:]].copy().write_h5ad(tmp_path / "query.h5ad")
    words = ["annotate", str(tmp_path / "query.h5ad"), "--key", "X_any", "--label", "cell_type"]
    words += ["--reference", str(tmp_path / "reference.h5ad"), "-o", str(tmp_path / "out.h5ad")]
    assert main([*words, "--ontology", str(path)]) == 0
    obs = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    both = obs["sclong_label_set"].astype(str) == "CD4-positive, alpha-beta T cell; CL:0000625"
    assert both.any()
    assert set(obs.loc[both, "sclong_broad_label"].astype(str)) == {"T cell"}
    assert set(obs.loc[both, "sclong_broad_term"].astype(str)) == {"CL:0000084"}
    held = obs["sclong_label_set"].astype(str).str.contains("mystery")
    assert set(obs.loc[held, "sclong_broad_label"].astype(str)) == {""}
    assert "1 of 3 labels are not in" in caplog.text
    again = ["annotate", str(tmp_path / "out.h5ad"), *words[2:-1], str(tmp_path / "plain.h5ad")]
    assert main([*again, "--overwrite"]) == 0
    assert "sclong_broad_label" not in anndata.read_h5ad(tmp_path / "plain.h5ad").obs
    table = [*words[:-1], str(tmp_path / "out.csv"), "--ontology", str(path)]
    assert main(table) == 0
    assert {"broad_label", "broad_term"} <= set(pd.read_csv(tmp_path / "out.csv").columns)
