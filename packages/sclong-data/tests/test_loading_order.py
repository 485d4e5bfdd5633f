import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sclong_core.errors import ConfigError
from sclong_data.loading.order import EpochOrder, ShuffleConfig

SHUFFLE = (
    st.builds(ShuffleConfig, block_cells=st.integers(1, 9), pool_blocks=st.integers(1, 7))
    | st.none()
)


def order_of(cells, shuffle, seed=0, epoch=0):
    order = EpochOrder(cells, shuffle, seed=seed, epoch=epoch)
    return order, np.concatenate([cells[:0], *(order.pool(n) for n in range(len(order)))])


@given(count=st.integers(0, 300), shuffle=SHUFFLE, epoch=st.integers(0, 9))
def test_every_cell_comes_once_an_epoch(count, shuffle, epoch):
    cells = np.arange(count) * 3 + 5
    order, found = order_of(cells, shuffle, epoch=epoch)
    assert sorted(found) == cells.tolist()
    assert order.starts[0] == 0
    assert order.starts[-1] == count
    sizes = [order.pool(number).size for number in range(len(order))]
    assert np.diff(order.starts).tolist() == sizes
    for number, size in enumerate(sizes):
        places = {order.starts[number], order.starts[number] + size - 1}
        assert {order.pool_of(int(place)) for place in places} == {number}
    if shuffle is None:
        assert found.tolist() == cells.tolist()


def test_the_order_is_a_function_of_seed_epoch_and_settings():
    cells = np.arange(500)
    orders = {
        tuple(order_of(cells, ShuffleConfig(block, 4), seed=seed, epoch=epoch)[1])
        for seed in (0, 1)
        for epoch in (0, 1)
        for block in (4, 8)
    }
    assert len(orders) == 8
    again = order_of(cells, ShuffleConfig(4, 4), seed=1, epoch=1)[1]
    assert tuple(again) in orders


def test_neighbours_are_read_together_and_then_parted():
    order, _ = order_of(np.arange(4096), ShuffleConfig(16, 32))
    pool = order.pool(3)
    assert len(set((pool // 16).tolist())) == 32
    batch = pool[:64]
    assert len(set((batch // 16).tolist())) > 20


@pytest.mark.parametrize("name", ["block_cells", "pool_blocks"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=f"shuffle.{name}"):
        ShuffleConfig(**{name: 0})
