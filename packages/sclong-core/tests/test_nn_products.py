import pytest
import torch

from sclong_core.nn.products import Product


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_and_without_gradients_it_is_linear_then_exact_gelu(gelu, bias, dtype):
    product = Product(24, 40, bias=bias, gelu=gelu).to(dtype)
    x = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = torch.nn.functional.linear(x, product.weight, product.bias)
    expected = torch.nn.functional.gelu(expected) if gelu else expected
    close = {"atol": 1e-5 if dtype == torch.float32 else 2e-2, "rtol": 0}
    torch.testing.assert_close(product(x), expected, **close)
    with torch.no_grad():
        torch.testing.assert_close(product(x), expected, **close)


def test_autocast_decides_the_type_of_float32_weights():
    product, x = Product(24, 40), torch.randn(7, 24)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert product(x).dtype == torch.bfloat16
    with torch.no_grad():
        assert product(x).dtype == torch.float32
