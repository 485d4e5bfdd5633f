"""FSDP: weights, gradients and the optimiser spread over the ranks.

Lightning's ``ModelParallelStrategy`` with PyTorch's ``fully_shard``, which unlike the older FSDP
also runs on CPUs. What is added here: checkpoints that appear whole or not at all, accumulation
without communication, and the weights in one piece.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.files import atomic_folder
from sclong_core.model import ScLong
from sclong_core.nn.embedding import clip_norm
from sclong_core.pretraining.checkpoint_io import AtomicCheckpointIO, verify, write_record
from sclong_core.pretraining.fsdp_checkpoints import (
    fill,
    flat_tensors,
    read_values,
    with_groups,
    write_sharded,
)


class ShardedStrategy(ModelParallelStrategy):
    """Every rank holds its share of each tensor and fetches a layer when it computes it."""

    def __init__(self, **settings: Any) -> None:
        """As Lightning's; the sizes of the mesh are the number of ranks by one."""
        super().__init__(
            data_parallel_size="auto",
            tensor_parallel_size=1,
            save_distributed_checkpoint=True,
            **settings,
        )

    def setup_environment(self) -> None:
        """Shard over all ranks; Lightning's own choice is one shard a machine."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    @contextmanager
    def block_backward_sync(self) -> Iterator[None]:
        """Add up whole gradients on each rank, which are reduced once a step."""
        sharded = self._sharded()
        sharded.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            sharded.set_requires_gradient_sync(True)

    def whole_state_dict(self) -> dict[str, Tensor]:
        """Weights and buffers in one piece, on the first rank; all ranks call it together."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return cast(dict[str, Tensor], get_model_state_dict(self._module(), options=options))

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """This rank's share, by the names of parameters."""
        plain = getattr(optimizer, "optimizer", optimizer)
        options = StateDictOptions(cpu_offload=True)
        state: dict[str, Any] = get_optimizer_state_dict(self._module(), plain, options=options)
        return state

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        filepath: str | PathLike[str],
        storage_options: Any | None = None,
    ) -> None:
        """Write a folder of which every rank writes its share, then its record.

        Raises:
            OSError: some rank could not write; earlier checkpoints are untouched. All ranks raise.
            TypeError: storage options, of which there are none.
        """
        if storage_options is not None:
            raise TypeError("a sharded checkpoint does not take storage options")
        final = Path(self.broadcast(filepath))
        failure: OSError | None = None
        with ExitStack() as stack:
            write_sharded(checkpoint, self._begin(stack, final))
            self.barrier()
            try:
                if self.is_global_zero and final.is_file():  # of another strategy
                    AtomicCheckpointIO().remove_checkpoint(final)
                stack.close()
                if self.is_global_zero:
                    write_record(final, checkpoint)
            except OSError as error:
                failure = error
        self._agree(failure)

    def _begin(self, stack: ExitStack, final: Path) -> Path:
        """A folder that gets its name when the stack is closed, unless by an error."""
        temporary, failure = final, None
        if self.is_global_zero:
            try:
                temporary = stack.enter_context(atomic_folder(final, overwrite=True))
            except OSError as error:
                failure = error
        self._agree(failure)
        return self.broadcast(temporary)

    def _agree(self, failure: OSError | None) -> None:
        """Raise on all ranks what the first one met."""
        said = self.broadcast(None if failure is None else str(failure))
        if said is not None:
            raise OSError(said) from failure

    def load_checkpoint(
        self,
        checkpoint_path: str | PathLike[str],
        weights_only: bool | None = None,  # noqa: FBT001  # Lightning's; always True here
    ) -> dict[str, Any]:
        """Read a checkpoint of any number of ranks, or of another strategy.

        Raises:
            CheckpointError: it is damaged, or belongs to something else.
        """
        path = Path(self.broadcast(checkpoint_path))
        problem = None
        if self.is_global_zero:
            try:
                verify(path)
            except CheckpointError as error:
                problem = str(error)
        if problem := self.broadcast(problem):
            raise CheckpointError(problem)
        module = self._module()
        if path.is_dir():
            values = read_values(path)
            module.on_load_checkpoint(values)  # before sizes that do not fit
            self._read_shards(path, values)
            return values
        values = AtomicCheckpointIO().load_checkpoint(path)
        module.on_load_checkpoint(values)
        self._spread(values)
        return values

    def _read_shards(self, path: Path, values: dict[str, Any]) -> None:
        module = self._module()
        model = cast(dict[str, Tensor], get_model_state_dict(module))
        states = [get_optimizer_state_dict(module, optimizer) for optimizer in self.optimizers]
        tensors = flat_tensors(model, states)
        fill(tensors, path)
        module.load_state_dict(model)
        filled = with_groups(values, tensors, states)
        for optimizer, state in zip(self.optimizers, filled, strict=True):
            set_optimizer_state_dict(module, optimizer, state)

    def _spread(self, values: dict[str, Any]) -> None:
        """Take this rank's share of what is there in one piece."""
        module, options = self._module(), StateDictOptions(full_state_dict=True)
        set_model_state_dict(module, values.pop("state_dict"), options=options)
        names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
        for optimizer, state in zip(self.optimizers, values.pop("optimizer_states"), strict=True):
            set_optimizer_state_dict(module, optimizer, _named(state, names), options=options)

    def _module(self) -> Any:
        module = self.lightning_module
        assert module is not None
        return module

    def _sharded(self) -> Any:
        return self._module().model


def shard(model: ScLong, mesh: DeviceMesh) -> None:
    """Spread the parameters over a mesh: each layer by itself, the rest together.

    Raises:
        ConfigError: this PyTorch is too old.
    """
    try:
        from torch.distributed.fsdp import fully_shard  # noqa: PLC0415  # not in every version
    except ImportError as error:
        raise ConfigError("trainer.strategy fsdp needs PyTorch 2.6 or newer") from error
    ranks = mesh["data_parallel"]
    for encoder in model.encoders().values():
        for layer in encoder.layers:
            fully_shard(layer, mesh=ranks)
    fully_shard(model, mesh=ranks)


def is_sharded(model: nn.Module) -> bool:
    """Whether the parameters of a model are spread over ranks."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def whole(tensor: Tensor) -> Tensor:
    """A tensor in one piece; all ranks call it together where it is spread over them."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gradient_norm(model: nn.Module) -> Tensor:
    """Norm of all gradients together, the same number on every rank."""
    norms = [
        torch.linalg.vector_norm(parameter.grad)
        for parameter in model.parameters()
        if parameter.grad is not None
    ]
    norm: Tensor = torch.linalg.vector_norm(whole(torch.stack(norms)))
    return norm


@torch.no_grad()
def clip_mask_vector(model: Any) -> None:
    """Clip the norm of the mask vector in the shards, as a forward pass does with whole weights.

    What a forward pass writes is lost here with the copy of the weights that it fetched.
    """
    model.reshard()  # after a validation, the last copy that was fetched is still in its place
    mask = model.expression.mask
    if isinstance(mask, DTensor):
        clipped = clip_norm(mask.full_tensor())
        mask.copy_(distribute_tensor(clipped, mask.device_mesh, mask.placements))


def _named(state: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The state of an optimiser by names of parameters, in place of their numbers."""
    return {
        "state": {names[number]: values for number, values in state["state"].items()},
        "param_groups": [
            {**group, "params": [names[number] for number in group["params"]]}
            for group in state["param_groups"]
        ],
    }
