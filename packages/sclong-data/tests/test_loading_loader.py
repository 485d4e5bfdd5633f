"""No cell is lost or comes twice, whoever reads and wherever a run is stopped."""

import json
import os
import signal
import subprocess
import sys
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sclong_core.errors import CheckpointError, InputError
from sclong_core.pretraining.masking import MaskingConfig, draw_masks
from sclong_data.corpus import shards
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.corpus.layout import shard_path
from sclong_data.loading.loader import CorpusLoader, CorpusValidationLoader
from sclong_data.loading.order import EpochOrder, ShuffleConfig
from sclong_data.loading.pools import PoolDataset, Share
from sclong_data.loading.weights import EpochCells
from tests.support.corpora import write_made_up_corpus

SHUFFLE = ShuffleConfig(block_cells=4, pool_blocks=5)
GLOBAL = 12


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "CHUNK", 32)
        write_made_up_corpus(folder, {"a.0": 60, "a.1": 43, "b.0": 50})
    return CellCorpus(folder)


@pytest.fixture(scope="module")
def training(corpus):
    return np.setdiff1d(np.arange(len(corpus)), np.arange(0, len(corpus), 7))


def pools(corpus, cells, rank=0, ranks=1, batch_size=GLOBAL, shuffle=SHUFFLE, **more):
    share = Share(batch_size, rank, ranks)
    return PoolDataset(corpus, EpochCells(cells), shuffle, MaskingConfig(), share, seed=3, **more)


def loader(corpus, cells, workers=0, epoch=0, *, ragged=False, **more):
    made = CorpusLoader(
        pools(corpus, cells, **more),
        workers=workers,
        seed=3,
        identity={"corpus": corpus.digest},
        ragged=ragged,
    )
    made.sampler.set_epoch(epoch)
    return made


def cells_of(batches):
    return [batch["cell"].tolist() for batch in batches]


def order_of(cells, epoch=0):
    order = EpochOrder(cells, SHUFFLE, seed=3, epoch=epoch)
    return list(chain(*(order.pool(number).tolist() for number in range(len(order)))))


def together(corpus, cells, ranks, *, states=None, stop=None, workers=0, epoch=0):
    """What all ranks read as one: global batches of cells, and each rank's state at the end."""
    parts, found = [], []
    for rank in range(ranks):
        made = loader(
            corpus, cells, workers, epoch, rank=rank, ranks=ranks, batch_size=GLOBAL // ranks
        )
        if states is not None:
            made.load_state_dict(states)
        read = []
        batches = iter(made)
        for _ in range(len(made) if stop is None else stop):
            if (batch := next(batches, None)) is None:
                break
            read.append(batch["cell"].tolist())
        parts.append(read)
        found.append(made.state_dict())
        assert states is None or stop is not None or next(batches, None) is None
    assert all(state == found[0] for state in found)
    return [list(chain(*batch)) for batch in zip(*parts, strict=True)], found[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    count=st.integers(1, 130),
    before=st.sampled_from([1, 2, 3, 4, 6]),
    after=st.sampled_from([1, 2, 3, 4, 6]),
    stop=st.integers(0, 12),
    epoch=st.integers(0, 3),
)
def test_any_ranks_and_any_stop_give_each_cell_once_in_one_order(
    corpus, training, count, before, after, stop, epoch
):
    cells = training[:count]
    first, state = together(corpus, cells, before, stop=stop, epoch=epoch)
    rest, _ = together(corpus, cells, after, states=state, epoch=epoch)
    read = [cell for cell in chain(*first, *rest) if cell >= 0]
    assert read == order_of(cells, epoch)
    assert all(len(batch) == GLOBAL for batch in first + rest)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")
@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_and_ranks_change_nothing(corpus, training, workers, ranks):
    straight, _ = together(corpus, training, 1)
    first, state = together(corpus, training, ranks, workers=workers, stop=5)
    rest, _ = together(corpus, training, ranks, workers=workers, states=state)
    assert first + rest == straight
    assert [cell for cell in chain(*straight) if cell >= 0] == order_of(training)


def test_batches_are_equal_bit_for_bit_whoever_reads_them(corpus, training):
    straight = list(loader(corpus, training, epoch=2))
    for workers in (1, 2):
        made = loader(corpus, training, workers, epoch=1)
        for _ in zip(range(3), made, strict=False):
            pass
        made.sampler.set_epoch(2)  # persistent workers go over to the next epoch
        for batch, expected in zip(made, straight, strict=True):
            assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_a_loader_stopped_at_every_place_goes_on_as_if_it_had_not(corpus, training):
    """At least 50 places: every batch of several epochs, with the whole content compared."""
    places = 0
    for epoch in range(5):
        straight = list(loader(corpus, training, epoch=epoch))
        for stop in range(len(straight)):
            made = loader(corpus, training, epoch=epoch)
            batches = iter(made)
            for _ in range(stop):
                next(batches)
            resumed = loader(corpus, training)
            resumed.load_state_dict(json.loads(json.dumps(made.state_dict())))
            following = next(iter(resumed))
            assert all(torch.equal(following[n], straight[stop][n]) for n in following)
            places += 1
    assert places >= 50


def test_an_epoch_that_is_over_is_followed_by_the_next(corpus, training):
    made = loader(corpus, training, epoch=1)
    assert len(cells_of(made)) == len(made)
    resumed = loader(corpus, training)
    resumed.load_state_dict(made.state_dict())
    assert cells_of(resumed) == []
    resumed.sampler.set_epoch(2)
    assert cells_of(resumed) == cells_of(loader(corpus, training, epoch=2))


def test_a_batch_holds_expression_and_the_masks_of_its_cells(corpus, training):
    made = loader(corpus, training, epoch=4)
    for batch in made:
        numbers = batch["cell"].numpy()
        kept = numbers >= 0
        expression = corpus.read(numbers[kept]).toarray()
        assert np.array_equal(batch["expression"].numpy()[kept], expression)
        assert batch["expression"].dtype == torch.float32
        assert not batch["scored"].numpy()[~kept].any()
        for row, number in enumerate(numbers[kept]):
            masked, scored = draw_masks(
                expression[row], config=MaskingConfig(), epoch=4, cell=int(corpus.keys[number])
            )
            assert np.array_equal(batch["masked"][row].numpy(), masked)
            assert np.array_equal(batch["scored"][row].numpy(), scored)


def test_ragged_batches_hold_the_same_values(corpus, training):
    dense, ragged = loader(corpus, training), loader(corpus, training, ragged=True)
    for one, other in zip(dense, ragged, strict=True):
        offsets = other["offsets"].tolist()
        assert one["cell"].tolist() == other["cell"].tolist()
        for row, (start, stop) in enumerate(pairwise(offsets)):
            genes = other["gene"][start:stop]
            assert genes.tolist() == one["expression"][row].nonzero().flatten().tolist()
            for name in ("expression", "masked", "scored"):
                assert torch.equal(other[name][start:stop], one[name][row][genes])


def test_the_state_of_another_run_is_refused(corpus, training):
    state = loader(corpus, training).state_dict()
    for name, value in {"corpus": "y", "seed": 5, "global_batch": 8}.items():
        with pytest.raises(CheckpointError, match=name):
            loader(corpus, training).load_state_dict({**state, name: value})
    with pytest.raises(CheckpointError, match="global_batch"):
        loader(corpus, training, batch_size=5, ranks=2).load_state_dict(state)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_validation_sees_each_cell_once_in_as_many_batches_on_every_rank(corpus, ranks, workers):
    cells = np.arange(0, 62, 2)
    seen, scored, lengths = [], 0, set()
    for rank in range(ranks):
        made = CorpusValidationLoader(
            pools(corpus, cells, rank, ranks, batch_size=4, shuffle=None, validation=True),
            workers=workers,
        )
        batches = list(made)
        assert cells_of(made) == cells_of(batches)
        lengths.add((len(made), len(batches)))
        for batch in batches:
            kept = batch["cell"] >= 0
            seen += batch["cell"][kept].tolist()
            scored += int(batch["scored"].sum())
            assert not batch["scored"][~kept].any()
            assert torch.equal(batch["scored"][kept], batch["masked"][kept])
    assert sorted(seen) == cells.tolist()
    assert len(lengths) == 1
    alone = pools(corpus, cells, batch_size=31, shuffle=None, validation=True)
    (whole,) = CorpusValidationLoader(alone, workers=0)
    assert scored == int(whole["scored"].sum())


@pytest.mark.fault
@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard_is_named_before_its_batch_is_handed_out(tmp_path, workers):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "CHUNK", 32)
        write_made_up_corpus(tmp_path, {"a.0": 60, "b.0": 43})
    corpus = CellCorpus(tmp_path)
    path = shard_path(tmp_path, "b.0")
    content = bytearray(path.read_bytes())
    content[content.index(b"X/data/c/0") + 200] ^= 1
    path.write_bytes(content)
    made = loader(corpus, np.arange(len(corpus)), workers, shuffle=None, batch_size=5)
    with pytest.raises(InputError, match=r"b\.0\.zarr\.zip is damaged") as caught:
        list(made)
    assert "\n" not in str(caught.value)
    assert made.state_dict()["batches"] < len(made)


# Reads an epoch and writes a line a batch: its cells, a hash of its content, the state after it.
DRIVER = """
import hashlib, json, os, signal, sys
import numpy as np
from sclong_core.pretraining.masking import MaskingConfig
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.loading.loader import CorpusLoader
from sclong_data.loading.order import ShuffleConfig
from sclong_data.loading.pools import PoolDataset, Share
from sclong_data.loading.weights import EpochCells

def read(folder, log, workers, kill_at):
    corpus = CellCorpus(folder)
    dataset = PoolDataset(corpus, EpochCells(np.arange(len(corpus))), ShuffleConfig(4, 5),
                          MaskingConfig(), Share(6, 0, 1), seed=3)
    loader = CorpusLoader(dataset, workers=workers, seed=3, identity={"corpus": corpus.digest})
    lines = open(log).read().splitlines() if os.path.exists(log) else []
    if lines:
        loader.load_state_dict(json.loads(lines[-1])["state"])
    with open(log, "a") as handle:
        for number, batch in enumerate(loader, len(lines)):
            if number == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            content = hashlib.sha256(b"".join(batch[n].numpy().tobytes() for n in sorted(batch)))
            line = {"cells": batch["cell"].tolist(), "content": content.hexdigest()}
            handle.write(json.dumps({**line, "state": loader.state_dict()}) + "\\n")
            handle.flush()
    os._exit(0)

for folder, log, workers, kill_at in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        read(folder, log, workers, kill_at)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.fault
def test_readers_that_are_killed_go_on_where_they_were(corpus, tmp_path):
    """52 real kills, at seeded batches, by readers with 0, 1 and 2 workers in turn."""
    random = np.random.default_rng(0)
    batches = -(-len(corpus) // 6)
    runs, kills = [[str(corpus.folder), str(tmp_path / "straight"), 0, -1]], 0
    chains = 13
    for chain_number in range(chains):
        log = str(tmp_path / f"killed{chain_number}")
        for kill_at in sorted(random.choice(batches, 4, replace=False).tolist()):
            runs.append([str(corpus.folder), log, kills % 3, kill_at])
            kills += 1
        runs.append([str(corpus.folder), log, 0, -1])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRIVER, json.dumps(runs)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    statuses = [int(line) for line in done.stdout.split()]
    assert statuses.count(-signal.SIGKILL) == kills >= 50, done.stderr
    assert statuses.count(0) == chains + 1
    straight = (tmp_path / "straight").read_text()
    assert len(straight.splitlines()) == batches
    for number in range(chains):
        assert (tmp_path / f"killed{number}").read_text() == straight
