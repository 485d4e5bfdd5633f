import pytest

from sclong_core.config import ScLongConfig
from sclong_core.errors import CheckpointError
from sclong_core.model import ScLong
from sclong_core.pretraining.identity import KEY, check_identity, identity
from sclong_core.pretraining.masking import MaskingConfig
from sclong_core.testing import synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from tests.support.training import small_network


@pytest.fixture(scope="module")
def own():
    config: ScLongConfig = small_network().build(40, has_graph=False)
    model = ScLong(config, GeneVocabulary.from_ids(synthetic_gene_ids(40)))
    return identity(model, MaskingConfig())


def test_what_is_the_same_passes(own):
    check_identity({KEY: own | {"seed": 3}}, own)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabulary": "abc"}, "vocabulary of digest abc"),
        ({"graph": "abc"}, "graph of digest abc, this run has None"),
        ({"masking": {"ratio": 0.3, "replaced": 0.9, "seed": 0}}, "ratio: 0.3, now 0.15"),
        ({"masking": None}, "masking settings"),
        ({"format_version": 2}, "format version 2"),
    ],
)
def test_what_differs_is_named(own, change, message):
    with pytest.raises(CheckpointError, match=message):
        check_identity({KEY: own | change}, own)


def test_a_nested_setting_is_named_by_its_path(own):
    network = own["network"] | {"large": own["network"]["large"] | {"heads": 9}}
    with pytest.raises(CheckpointError, match=r"large\.heads: 9, now 2"):
        check_identity({KEY: own | {"network": network}}, own)


def test_a_checkpoint_of_something_else_is_refused(own):
    with pytest.raises(CheckpointError, match="not a checkpoint of scLong"):
        check_identity({"state_dict": {}}, own)
