import torch

from sclong_bench.demo.threads import one_thread


def test_threads_are_as_before_afterwards():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
