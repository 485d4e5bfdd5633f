import gzip

import pandas as pd
import pytest

from sclong_core.errors import InputError
from sclong_data.report.standalone import require_drawings, write_svg
from sclong_data.report.svg import Text, picture
from sclong_tasks.data_files import RECORD, prepare_data
from sclong_tasks.figures import write_svg as write_plain
from sclong_tasks.registry import get_task
from sclong_tasks.written import has_columns, has_prediction


def test_tables_are_known_by_their_columns(tmp_path):
    table = pd.DataFrame({"a": [1], "b": [2], "predicted_x": [3]})
    for name in ("t.csv", "t.csv.gz", "t.tsv", "t.parquet"):
        path = tmp_path / name
        if path.suffix == ".parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
        assert has_columns(path, ["b", "a"])
        assert not has_columns(path, ["b", "c"])
        assert has_prediction(path)
        path.write_bytes(b"\x00\xff[" * 50)
        assert not has_columns(path, ["a"])
        assert not has_prediction(path)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n" * 1000)[:20])
    assert not has_columns(tmp_path / "t.csv.gz", ["a", "b"])


def test_only_drawings_are_replaced(tmp_path):
    drawing = picture(Text("k", "t", "d"), 30, [])
    require_drawings(tmp_path / "new")
    write_svg(tmp_path / "a.svg", drawing)
    write_plain(tmp_path / "b.svg", drawing)
    require_drawings(tmp_path)
    (tmp_path / "c.svg").write_text("<svg/>")
    with pytest.raises(InputError, match=r"c\.svg"):
        require_drawings(tmp_path)


def test_prepared_data_are_replaced_and_nothing_else(tmp_path):
    task = get_task("drug_response")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "thesis.docx").write_text("precious")
    with pytest.raises(InputError, match=r"thesis\.docx"):
        prepare_data(task, folder, str(tmp_path / "none"), overwrite=True)
    (folder / RECORD).write_text('{"files": {}, "task": "drug_response"}')
    with pytest.raises(InputError, match=r"thesis\.docx"):
        prepare_data(task, folder, str(tmp_path / "none"), overwrite=True)
    with pytest.raises(InputError, match="holds an input"):
        prepare_data(task, folder, str(folder), overwrite=True)
    assert (folder / "thesis.docx").read_text() == "precious"
