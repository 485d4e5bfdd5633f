from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelHubMixin

from sclong_core import (
    CheckpointError,
    GeneGraph,
    GeneVocabulary,
    InputError,
    PerformerConfig,
    ScLong,
    ScLongConfig,
)

SIDE = PerformerConfig(dim=16, depth=1, heads=2, dim_head=8)
CONFIG = ScLongConfig(genes=12, dim=16, high_genes=4, large=SIDE, mini=SIDE, full=SIDE)
GRAPH = GeneGraph(12, np.stack([np.arange(12)] * 2), np.ones(12, dtype=np.float32))
FILES = {"config.json", "model.safetensors", "vocabulary.tsv", "graph.npz"}


@pytest.fixture
def model():
    vocabulary = GeneVocabulary.from_ids([f"ENSG{place:011d}" for place in range(12)])
    return ScLong(CONFIG, vocabulary, GRAPH).eval()


@pytest.mark.parametrize("_", range(8))
def test_a_loaded_model_computes_the_same_to_the_bit(_, tmp_path):
    vocabulary = GeneVocabulary.from_ids([f"ENSG{place:011d}" for place in range(12)])
    model = ScLong(CONFIG, vocabulary, GRAPH).eval()
    model.redraw_features(2)
    model.save_pretrained(tmp_path / "folder")
    loaded = ScLong.from_pretrained(tmp_path / "folder", device="cpu")
    assert not loaded.training
    assert loaded.config == model.config
    assert loaded.vocabulary == model.vocabulary
    values = torch.rand(2, 12)
    with torch.no_grad():
        for ours, theirs in zip(model(values), loaded(values), strict=True):
            assert torch.equal(ours, theirs)


def test_a_folder_is_not_overwritten_unasked(model, tmp_path):
    model.save_pretrained(tmp_path / "folder")
    with pytest.raises(InputError, match="already exists"):
        model.save_pretrained(tmp_path / "folder")
    model.save_pretrained(tmp_path / "folder", overwrite=True)


def test_a_model_without_vocabulary_cannot_be_saved(tmp_path):
    with pytest.raises(CheckpointError, match="vocabulary"):
        ScLong(ScLongConfig.preset("tiny", genes=4), graph=_loops(4)).save_pretrained(
            tmp_path / "x"
        )
    assert list(tmp_path.iterdir()) == []


def test_the_hub_gets_the_checkpoint_and_nothing_else(model, monkeypatch):
    """The hub library's own push, with its network client replaced."""
    pushed: dict[str, bytes] = {}

    class Api:
        def __init__(self, **_settings): ...

        def create_repo(self, **_settings):
            return type("Repo", (), {"repo_id": "owner/name"})()

        def upload_folder(self, *, folder_path, **_settings):
            pushed.update({p.name: p.read_bytes() for p in Path(folder_path).iterdir()})

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    assert isinstance(model, ModelHubMixin)
    model.push_to_hub("owner/name")
    assert pushed.keys() == FILES | {"README.md"}


def test_the_model_pulled_from_the_hub_is_verified(model, monkeypatch, tmp_path):
    model.save_pretrained(tmp_path / "snapshot")
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *_args, **_settings: str(tmp_path / "snapshot")
    )
    assert ScLong.from_pretrained("owner/name", device="cpu").config == model.config
    weights = tmp_path / "snapshot" / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        ScLong.from_pretrained("owner/name", device="cpu")


def _loops(genes):
    return GeneGraph(genes, np.stack([np.arange(genes)] * 2), np.ones(genes, dtype=np.float32))
