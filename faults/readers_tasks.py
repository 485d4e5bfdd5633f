"""Readers of sclong-tasks: files as authors publish them, prepared data, models, new rows."""

import functools
import shutil
import zipfile
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import skops.io
from sklearn.linear_model import Ridge

from faults.damage import packed_bomb
from faults.readers_data import write_text, yaml_code
from faults.trials import Reader
from sclong_core.files import read_sealed, sha256_file, write_sealed
from sclong_core.testing import synthetic_gene_ids
from sclong_tasks.annotation import Reference
from sclong_tasks.annotation.reference import CELLS_FILE, FACTS_FILE
from sclong_tasks.chemical_perturbation import example as chemical
from sclong_tasks.chemical_perturbation.l1000 import read_l1000
from sclong_tasks.chemical_perturbation.profiles import Profiles
from sclong_tasks.data_files import prepare_data, read_record
from sclong_tasks.drug_combination.example import SyntheticSizes, write_synthetic_files
from sclong_tasks.drug_response.example import write_example
from sclong_tasks.encoders.precomputed import Precomputed
from sclong_tasks.estimators import load_estimator, save_estimator
from sclong_tasks.genetic_interactions.example import write_norman_example
from sclong_tasks.genetic_perturbation import example as screens
from sclong_tasks.genetic_perturbation.reading import read_screen
from sclong_tasks.grn.example import NetworkSizes, write_network_files
from sclong_tasks.marker_clustering import example as markers
from sclong_tasks.marker_clustering.markers import PEGASUS, SCTYPE, read_pegasus, read_sctype
from sclong_tasks.marker_clustering.markers import read_table as read_markers
from sclong_tasks.predict import PredictRequest, predict
from sclong_tasks.registry import get_task
from sclong_tasks.run import RunRequest, run_task
from sclong_tasks.settings import defaults

_NAMES = synthetic_gene_ids(8)
Generator = np.random.Generator


def _write_response(folder: Path) -> None:
    write_example(folder, lines=12, genes=4)


def _write_combination(folder: Path) -> None:
    write_synthetic_files(folder, SyntheticSizes(drugs=6, cells=4))


def _write_networks(folder: Path) -> None:
    write_network_files(folder, NetworkSizes(factors=3, genes=8, cells=12))


def _write_interactions(folder: Path) -> None:
    write_norman_example(folder, genes=10)


def _write_signatures(folder: Path) -> None:
    chemical.write_example(folder, drugs=12, genes=4)


def _prepared(task: str) -> Any:
    def read(folder: Path) -> Any:
        found = folder / "prepared"
        record = prepare_data(get_task(task), found, str(folder))
        shutil.rmtree(found)
        return record["files"]

    return read


def _write_prepared(folder: Path) -> None:
    _write_response(folder / "files")
    prepare_data(get_task("drug_response"), folder / "data", str(folder / "files"))
    shutil.rmtree(folder / "files")


def _load_prepared(folder: Path) -> str:
    task = get_task("drug_response")
    read_record(task, folder / "data")
    return str(task.load(folder / "data", defaults(task.Settings, "honest")).digest)


def _write_run(folder: Path, model: str) -> None:
    _write_prepared(folder)
    runs = folder / "runs"
    done = run_task(RunRequest("drug_response", model, 0, folder / "data", runs)).folder
    (folder / "run").mkdir()
    for name in ("config.yaml", "model"):
        (done / name).rename(folder / "run" / name)
    shutil.rmtree(runs)
    (folder / "pairs.csv").write_text("line,smiles\n" + "ACH-000001,CCO\nACH-000002,CCN\n" * 2)


def _run(model: str) -> Any:
    return lambda folder: _write_run(folder, model)


def _predict(folder: Path) -> Any:
    inputs = {"pairs": folder / "pairs.csv"}
    table = predict(PredictRequest("drug_response", folder / "run", inputs, folder / "data"))
    return table.to_numpy().tolist()


def _run_code(folder: Path, generator: Generator) -> None:
    yaml_code("config.yaml")(folder / "run", generator)


def _strange_part(folder: Path, generator: Generator) -> None:
    """An estimator with a function inside, which a program that trusts it would call."""
    path = next(iter(sorted((folder / "run" / "model").glob("*.skops"))))
    skops.io.dump(Ridge(alpha=functools.partial(print, "pwned")), path)


def _write_estimator(folder: Path) -> None:
    values = np.arange(12.0).reshape(6, 2)
    save_estimator(folder / "one.skops", Ridge().fit(values, values[:, 0]))


def _read_estimator(folder: Path) -> Any:
    return load_estimator(folder / "one.skops")


def _other_type(folder: Path, generator: Generator) -> None:
    skops.io.dump({"a": functools.partial(print, "pwned")}, folder / "one.skops")


def _in_schema(old: str, new: str) -> Any:
    """The list of an estimator's parts, with one name in the place of another."""

    def plant(folder: Path, generator: Generator) -> None:
        path = folder / "one.skops"
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        schema = members["schema.json"].replace(old.encode(), new.encode())
        assert schema != members["schema.json"]
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, "schema.json": schema}.items():
                archive.writestr(name, content)

    return plant


def _table() -> pd.DataFrame:
    return pd.DataFrame(np.ones((len(_NAMES), 3), np.float32), _NAMES, ["a", "b", "c"])


def _write_h5ad(folder: Path) -> None:
    anndata.AnnData(_table()).write_h5ad(folder / "r.h5ad")


def _write_parquet(folder: Path) -> None:
    _table().to_parquet(folder / "r.parquet")


def _representations(name: str) -> Any:
    return lambda folder: Precomputed.read(folder / name).values.tobytes()


def _name_twice(folder: Path, generator: Generator) -> None:
    table = _table()
    pd.concat([table, table.iloc[[int(generator.integers(len(table)))]]]).to_parquet(
        folder / "r.parquet"
    )


def _texts(folder: Path, generator: Generator) -> None:
    _table().assign(a="text").to_parquet(folder / "r.parquet")


def _write_screen(folder: Path) -> None:
    sizes = screens.ExampleSizes()
    path = screens.write_gears_example(folder, sizes)
    path.rename(folder / "screen.h5ad")


def _write_packed_screen(folder: Path) -> None:
    _write_screen(folder)
    with zipfile.ZipFile(folder / "screen.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "screen.h5ad", "norman/perturb_processed.h5ad")
    (folder / "screen.h5ad").unlink()


def _screen_bomb(folder: Path, generator: Generator) -> None:
    (folder / "screen.zip").write_bytes(packed_bomb("perturb_processed.h5ad"))


def _screen(name: str) -> Any:
    return lambda folder: read_screen(folder / name).cells.toarray().tobytes()


def _write_gct(folder: Path) -> None:
    chemical.write_gct(folder / "x.gct", chemical.write_example(folder / "x", drugs=6, genes=4))
    shutil.rmtree(folder / "x")


def _write_gctx(folder: Path) -> None:
    chemical.write_gctx(folder / "x.gctx", chemical.write_example(folder / "x", drugs=6, genes=4))
    shutil.rmtree(folder / "x")


def _profiles(name: str) -> Any:
    def read(folder: Path) -> Any:
        found: Profiles = read_l1000(folder / name)
        rows = np.arange(len(found.table), dtype=np.int64)
        return [block.tobytes() for block in found.read(rows)]

    return read


def _write_markers(folder: Path) -> None:
    sizes = markers.ExampleSizes(cells=2, genes=20)
    markers.write_marker_example(folder, sizes).unlink()


def _read_lists(folder: Path) -> Any:
    return read_sctype(folder / SCTYPE), read_pegasus(folder / PEGASUS)


def _write_reference(folder: Path) -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((150, 6))
    Reference.fit(vectors, np.array(["a", "b", "c", "d", "e"])[np.arange(150) % 5]).save(
        folder / "r"
    )


def _read_reference(folder: Path) -> Any:
    found = Reference.load(folder / "r")
    return found.digest, found.source, found.calibration.accuracy


def _signed_reference(name: str, values: Any) -> Any:
    """Another array, with checksums that are right."""

    def plant(folder: Path, generator: Generator) -> None:
        with np.load(folder / "r" / CELLS_FILE) as file:
            arrays = dict(file)
        arrays[name] = np.asarray(values)
        np.savez(folder / "r" / CELLS_FILE, **arrays)
        facts = read_sealed(folder / "r" / FACTS_FILE) or {}
        changed = {**facts, "sha256": sha256_file(folder / "r" / CELLS_FILE)}
        write_sealed(folder / "r" / FACTS_FILE, changed)

    return plant


READERS = (
    Reader("files of drug response", _write_response, _prepared("drug_response")),
    Reader("files of drug combination", _write_combination, _prepared("drug_combination")),
    Reader("files of gene networks", _write_networks, _prepared("grn")),
    Reader("files of genetic interactions", _write_interactions, _prepared("genetic_interactions")),
    Reader("signatures of compounds", _write_signatures, _prepared("chemical_perturbation")),
    Reader("GCT", _write_gct, _profiles("x.gct")),
    Reader("GCTX", _write_gctx, _profiles("x.gctx"), hdf5=True),
    Reader("screen of perturbations", _write_screen, _screen("screen.h5ad"), hdf5=True),
    Reader(
        "packed screen",
        _write_packed_screen,
        _screen("screen.zip"),
        hdf5=True,
        planted={"a bomb": _screen_bomb},
    ),
    Reader("lists of markers", _write_markers, _read_lists),
    Reader(
        "table of markers",
        write_text("m.csv", "cell_type,gene\nB,CD19\nB,MS4A1\nT,CD3D\n"),
        lambda folder: read_markers(folder / "m.csv"),
    ),
    Reader("prepared data of a task", _write_prepared, _load_prepared, sealed=True),
    Reader(
        "model of effects",
        _run("low_rank"),
        _predict,
        targets="run/**/*",
        planted={"code": _run_code},
    ),
    Reader(
        "model of scikit-learn",
        _run("ridge_pca"),
        _predict,
        targets="run/**/*",
        planted={"code": _run_code, "a part that is not trusted": _strange_part},
    ),
    Reader("rows to predict", _run("drug_mean"), _predict, targets="pairs.csv"),
    Reader(
        "estimator",
        _write_estimator,
        _read_estimator,
        planted={
            "a function": _other_type,
            "another class": _in_schema('"Ridge"', '"Popen"'),
            "another module": _in_schema("sklearn.linear_model._ridge", "subprocess"),
            "another kind of part": _in_schema('"ObjectNode"', '"FunctionNode"'),
        },
    ),
    Reader("representations in h5ad", _write_h5ad, _representations("r.h5ad"), hdf5=True),
    Reader(
        "representations in parquet",
        _write_parquet,
        _representations("r.parquet"),
        planted={"a name twice": _name_twice, "texts": _texts},
    ),
    Reader(
        "reference of labels",
        _write_reference,
        _read_reference,
        sealed=True,
        targets="r/*",
        planted={
            "labels that are not": _signed_reference("codes", np.full(120, 10**9)),
            "objects": _signed_reference("usual", np.array([print, None], dtype=object)),
            "no numbers": _signed_reference("doubt", np.full(30, np.nan)),
            "another shape": _signed_reference("axes", np.zeros((6, 3), dtype=np.float32)),
        },
    ),
)
