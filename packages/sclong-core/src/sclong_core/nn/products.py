"""The matrix products with weights, where nearly all of the time goes."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Product(nn.Linear):
    """``nn.Linear``, optionally followed by exact GELU, computed by the fastest library at hand.

    Without gradients a CPU computes it by oneDNN with the GELU inside. PyTorch's own choice for
    float32 is MKL and one more pass over memory, which takes an eighth longer where it was
    measured.

    Args:
        inputs: width of the input.
        outputs: width of the output.
        bias: add a learnt vector.
        gelu: apply it to the result.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, gelu: bool = False) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.gelu = gelu

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name in nn.Linear
        """``(..., inputs)`` to ``(..., outputs)``."""
        if _by_onednn(input, self.weight):
            name, algorithm = ("gelu", "none") if self.gelu else ("none", "")
            product: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001  # no public way
                input.to(self.weight.dtype), self.weight, self.bias, name, [], algorithm
            )
            return product
        product = super().forward(input)
        return functional.gelu(product) if self.gelu else product


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        # Autocast converts float32 weights for each product: nn.Linear does that.
        and (weight.dtype == torch.bfloat16 or not torch.is_autocast_enabled("cpu"))
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        # oneDNN refuses bfloat16 on processors without AVX-512, where PyTorch has a way of its own.
        and (weight.dtype != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001  # no public way
    )
