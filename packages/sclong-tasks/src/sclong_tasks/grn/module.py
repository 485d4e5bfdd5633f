"""DeepSEM's beta-VAE: an encoder and a decoder shared by genes, with the network between them.

What an encoder says of each gene is multiplied by ``I - A'``, and what is drawn from it is divided
by ``I - A'`` before it is decoded; ``A[i, j]`` is what gene j does to gene i. The division is a
solve, never an inverse, and is exact in both of its forms:

- All genes regulate: the factorisation of a dense ``(g, g)`` matrix.
- ``r`` genes regulate: ``A'`` has ``r`` rows that are not zero, ``W (r, g)``. Then
  ``y = z + y_r W`` with ``y_r (I - W_r) = z_r``, of which only ``(r, r)`` is factorised.

With one mixture component, as in all published settings, the category of a cell is the constant 1,
so that its own network changes nothing: it is left out.
"""

import math
from collections.abc import Callable

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sclong_core.errors import InputError
from sclong_tasks.batches import Batch
from sclong_tasks.grn.config import NetworkOptions

_EPS_VARIANCE, _EPS_NOISE = 1e-8, 1e-10
_NETWORK_RATE = 0.2
"""Learning rate of A, over that of everything else."""
Factors = tuple[Tensor, Tensor]


class GrnLayer(nn.Module):
    """Multiplication by ``I - A'`` and division by it.

    Args:
        start: ``(r, g)`` first values of ``A'``, of regulators over genes.
        regulators: ``(r,)`` places of regulators among the genes.
        cholesky: fault of the released code: where it divides, it multiplies by what
            ``torch.cholesky_inverse`` makes of a matrix that is no Cholesky factor.
    """

    regulators: Tensor

    def __init__(self, start: Tensor, regulators: Tensor, *, cholesky: bool = False) -> None:
        super().__init__()
        own = torch.arange(len(regulators)), regulators
        first = start.clone()
        first[own] = 0
        self.weight = nn.Parameter(first)
        self.register_buffer("regulators", regulators)
        self.dense = len(regulators) == start.shape[1]
        self.cholesky = cholesky
        self._factors: Factors | None = None
        # What genes do to themselves begins as 0, and stays so without a gradient.
        self.weight.register_post_accumulate_grad_hook(self._clear_own)

    def multiply(self, x: Tensor) -> Tensor:
        """``x (I - A')``, of ``(b, g)``."""
        return x - x[:, self.regulators] @ self.weight

    def divide(self, z: Tensor) -> Tensor:
        """``z (I - A')^-1``, of ``(b, g)``.

        Raises:
            InputError: ``I - A'`` is singular.
        """
        if self.cholesky:
            return z @ torch.cholesky_inverse(self._block())
        solved = self._solve(z if self.dense else z[:, self.regulators])
        return solved if self.dense else z + solved @ self.weight

    def hold(self) -> None:
        """Factorise once, for as long as A stays as it is: see :meth:`release`."""
        if not self.cholesky:
            with torch.no_grad():
                self._factors = torch.linalg.lu_factor(self._block().T)

    def release(self) -> None:
        """Forget the factors."""
        self._factors = None

    def _solve(self, right: Tensor) -> Tensor:
        try:
            if self._factors is not None:
                solved: Tensor = torch.linalg.lu_solve(*self._factors, right.T).T
            else:
                solved = torch.linalg.solve(self._block(), right, left=False)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # it is there
            raise InputError(
                "I - A has become singular, and DeepSEM cannot go on: lower model.row_sum or "
                "model.training.learning_rate"
            ) from error
        return solved

    def _block(self) -> Tensor:
        """``I - A'`` among regulators: all that needs a factorisation."""
        chosen = self.weight if self.dense else self.weight[:, self.regulators]
        found = -chosen
        found.diagonal().add_(1)
        return found

    def _clear_own(self, weight: Tensor) -> None:
        if weight.grad is not None:
            weight.grad[torch.arange(len(self.regulators)), self.regulators] = 0


class DeepSemModule(LightningModule):
    """The network, trained by turns: its encoders for some epochs, then ``A`` for some.

    Args:
        layer: of the network.
        options: widths, penalties and turns.
        learning_rate: of RMSprop; A has a fifth of it.
    """

    def __init__(self, layer: GrnLayer, options: NetworkOptions, learning_rate: float) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.layer, self.options, self.learning_rate = layer, options, learning_rate
        genes, hidden = layer.weight.shape[1], options.hidden
        self.encoder = _by_gene(hidden, 2)
        self.decoder = _by_gene(hidden, 1)
        self.prior_mean = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, genes))
        self.prior_variance = nn.Sequential(
            nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, genes)
        )
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_normal_(part.weight)
                nn.init.zeros_(part.bias)
        self._encoded: dict[int, Tensor] = {}

    @property
    def on_network(self) -> bool:
        """Whether ``A`` is trained in this epoch, and nothing else."""
        turn = self.current_epoch % (self.options.encoder_epochs + self.options.network_epochs)
        return turn >= self.options.encoder_epochs

    def loss(self, batch: Batch) -> Tensor:
        """Reconstruction of what is not zero, and ``beta`` times the divergence from the prior."""
        values, mask = batch["values"], batch["mask"]
        encoded = self._encode(batch)
        mean = self.layer.multiply(encoded[..., 0])
        variance = self.layer.multiply(encoded[..., 1]).exp()
        z = mean + torch.randn_like(mean) * (variance + _EPS_NOISE).sqrt()
        divided = self.layer.divide(z)
        decoded = self._blocks(self.decoder, divided.unsqueeze(-1)).squeeze(-1)
        one = values.new_ones(1, 1)
        prior = self.layer.multiply(self.prior_mean(one))
        spread = self.layer.multiply(self.prior_variance(one)).exp()
        error = ((values - decoded).square() * mask).sum() / mask.sum()
        divergence = (_log_normal(z, mean, variance) - _log_normal(z, prior, spread)).mean()
        size = torch.linalg.vector_norm(self.layer.weight, 1) / self.layer.weight.numel()
        loss: Tensor = error + self.options.beta * divergence + self.options.alpha * size
        return loss

    def training_step(self, batch: Batch, _number: int) -> None:
        """One step of the optimiser whose turn it is."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        chosen = optimizers[int(self.on_network)]
        loss = self.loss(batch)
        chosen.zero_grad()
        self.manual_backward(loss)
        chosen.step()
        self.log(
            "training_loss", loss, on_epoch=True, on_step=False, batch_size=len(batch["values"])
        )

    def on_train_epoch_start(self) -> None:
        """Freeze what is not trained in this epoch, and keep what does not change with it."""
        self.take_turn(on_network=self.on_network)

    def take_turn(self, *, on_network: bool) -> None:
        """Train ``A`` and nothing else, or everything else."""
        self._encoded.clear()
        self.layer.release()
        for name, parameter in self.named_parameters():
            parameter.requires_grad_((name == "layer.weight") == on_network)
        if not on_network:
            self.layer.hold()

    def on_train_epoch_end(self) -> None:
        """The rate of everything but ``A`` decays."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        for group in optimizers[0].param_groups:
            group["lr"] *= self.options.decay

    def on_train_end(self) -> None:
        """Let go of what was kept."""
        self.take_turn(on_network=True)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """RMSprop for the encoders and for ``A``."""
        others = [one for name, one in self.named_parameters() if name != "layer.weight"]
        return [
            torch.optim.RMSprop(others, lr=self.learning_rate),
            torch.optim.RMSprop([self.layer.weight], lr=_NETWORK_RATE * self.learning_rate),
        ]

    def _encode(self, batch: Batch) -> Tensor:
        """``(b, g, 2)`` what the encoder says of each gene; kept while it is not trained."""
        values = batch["values"]
        if torch.is_grad_enabled() and self.encoder[0].weight.requires_grad:
            return self._blocks(self.encoder, _with_category(values))
        cells = batch["cell"].tolist()
        new = [place for place, cell in enumerate(cells) if cell not in self._encoded]
        if new:
            with torch.no_grad():
                found = self._blocks(self.encoder, _with_category(values[new]))
            self._encoded.update(zip((cells[place] for place in new), found, strict=True))
        return torch.stack([self._encoded[cell] for cell in cells])

    def _blocks(self, part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """A part over ``(b, g, c)``, in blocks of genes whose inner layers are not kept."""
        most = self.options.block
        if not most or x.shape[0] * x.shape[1] <= most:
            return part(x)
        step = max(1, most // x.shape[0])
        return torch.cat(
            [
                checkpoint(part, block, use_reentrant=False, preserve_rng_state=False)
                for block in x.split(step, dim=1)
            ],
            dim=1,
        )


def _by_gene(hidden: int, width: int) -> nn.Sequential:
    """Two hidden layers from ``width`` numbers of a gene to as many.

    The encoder has the category of the cell beside the gene's value.
    """
    return nn.Sequential(
        nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(),
        nn.Linear(hidden, width),
    )  # fmt: skip


def _with_category(values: Tensor) -> Tensor:
    return torch.stack([values, torch.ones_like(values)], dim=-1)


def _log_normal(z: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Mean log density over genes."""
    wide = variance + _EPS_VARIANCE
    return -0.5 * (math.log(2 * math.pi) + wide.log() + (z - mean).square() / wide).mean(-1)
