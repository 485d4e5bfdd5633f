"""Conversion of the authors' released weights into a self-contained checkpoint folder.

The release is four files: weights (``torch.save``), hyper-parameters (a pickle that holds the gene
graph), the list of genes, and the initial gene vectors. They are read without executing anything
in them; the weights are mapped, not loaded, so that a conversion needs less memory than the model.
"""

from pathlib import Path
from typing import Literal

import torch

from sclong_core.checkpoint import check_replaceable, write_checkpoint
from sclong_core.errors import ConfigError
from sclong_core.human_genes import with_symbols
from sclong_core.model import ScLong
from sclong_core.pickles import read_plain_pickle
from sclong_core.release.files import (
    FilePath,
    check_gene2vec,
    file_record,
    read_state,
    read_vocabulary,
)
from sclong_core.release.settings import (
    check_settings,
    plain_settings,
    release_config,
    release_graph,
)
from sclong_core.release.tensors import COUNTERS, check_release_tensors, converted, release_shapes


def convert_release(  # noqa: PLR0913  # one for each file, and all are named
    *,
    weights: FilePath,
    hyper_params: FilePath,
    genes: FilePath,
    gene2vec: FilePath | None = None,
    output: FilePath,
    symbols: FilePath | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
    overwrite: bool = False,
) -> Path:
    """Convert a release into a checkpoint folder.

    Args:
        weights: ``torch.save`` of the state dictionary, or of a dictionary that holds it under
            ``model_state_dict``; prefixes of DDP and ``torch.compile`` are removed.
        hyper_params: pickled dictionary with the sizes and the gene graph.
        genes: one Ensembl id a line, in the order of the positions.
        gene2vec: initial gene vectors, npy. The trained ones are among the weights: this file is
            only checked and recorded.
        output: the folder to create.
        symbols: a table of Ensembl id and symbol, two columns, to name the genes; those that it
            does not name get the symbols of HGNC.
        dtype: in which the weights of the large products are kept.
        overwrite: replace a checkpoint that is there.

    Returns:
        ``output``.

    Raises:
        CheckpointError: a file is not what it should be, holds more than plain values, or they do
            not fit together; tensors that are missing, unknown or of the wrong shape are named.
        InputError: the gene list or the table of symbols is unusable, or ``output`` exists.
    """
    if dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"dtype must be float32 or bfloat16, not {dtype!r}")
    check_replaceable(Path(output), overwrite=overwrite)
    files = {
        "weights": weights,
        "hyper_params": hyper_params,
        "genes": genes,
        "gene2vec": gene2vec,
        "symbols": symbols,
    }
    records = {name: file_record(path) for name, path in files.items() if path is not None}
    settings = read_plain_pickle(hyper_params)
    check_settings(settings, str(hyper_params))
    state, epoch = read_state(weights)
    config = release_config(settings, state, str(hyper_params))
    vocabulary = with_symbols(read_vocabulary(genes, symbols, config))
    graph = release_graph(settings, config.genes, str(hyper_params))
    if gene2vec is not None:
        check_gene2vec(gene2vec, config)
    with torch.device("meta"):
        model = ScLong(config, vocabulary, graph)
    expected = model.set_dtype(getattr(torch, dtype)).state_dict()
    check_release_tensors(state, release_shapes(expected), str(weights))
    write_checkpoint(
        output,
        config=config,
        vocabulary=vocabulary,
        graph=graph,
        tensors=dict(converted(state, expected, str(weights))),
        origin={
            "kind": "release",
            "files": records,
            "epoch": epoch,
            "weights_dtypes": sorted({str(tensor.dtype) for tensor in state.values()}),
            "hyper_parameters": plain_settings(settings),
            "dropped": {name: state[name].item() for name in sorted(COUNTERS & state.keys())},
        },
        overwrite=overwrite,
    )
    return Path(output)
