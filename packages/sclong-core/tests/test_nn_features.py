import torch

from sclong_core.nn.features import draw_features


def test_features_are_a_pure_function_of_the_key():
    first = draw_features(44, 16, key=(0, 1, 2, 3))
    torch.rand(5)
    assert torch.equal(first, draw_features(44, 16, key=(0, 1, 2, 3)))
    for other in ((1, 1, 2, 3), (0, 0, 2, 3), (0, 1, 3, 3), (0, 1, 2, 4)):
        assert not torch.equal(first, draw_features(44, 16, key=other))


def test_drawing_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    draw_features(44, 16, key=(7,))
    assert torch.equal(torch.get_rng_state(), before)


def test_blocks_are_orthogonal_with_gaussian_norms():
    features = draw_features(64, 16, key=(0,))
    for block in features.split(16):
        products = block @ block.T
        off_diagonal = products - torch.diag(products.diagonal())
        torch.testing.assert_close(off_diagonal, torch.zeros(16, 16), atol=1e-4, rtol=0)
    assert abs(features.square().sum(1).mean() - 16) < 3
