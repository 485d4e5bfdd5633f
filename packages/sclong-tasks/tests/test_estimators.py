import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from sclong_core.errors import InputError
from sclong_tasks.estimators import load_estimator, save_estimator


class Stranger:
    pass


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        RandomForestClassifier(5, random_state=0),
        HistGradientBoostingClassifier(max_iter=5, early_stopping=False),
    ],
)
def test_estimators_come_back_the_same(tmp_path, estimator):
    x = np.random.default_rng(0).normal(size=(60, 3))
    estimator.fit(x, x[:, 0] > 0)
    save_estimator(tmp_path / "one.skops", estimator)
    again = load_estimator(tmp_path / "one.skops")
    assert np.array_equal(again.predict_proba(x), estimator.predict_proba(x))


def test_types_that_are_not_trusted_are_refused_by_name(tmp_path):
    skops.io.dump(Stranger(), tmp_path / "one.skops")
    with pytest.raises(InputError, match=r"not trusted: .*Stranger"):
        load_estimator(tmp_path / "one.skops")


def test_damaged_files_are_refused(tmp_path):
    (tmp_path / "one.skops").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not an estimator"):
        load_estimator(tmp_path / "one.skops")
