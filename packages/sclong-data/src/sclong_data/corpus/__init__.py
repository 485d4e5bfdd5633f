"""A corpus: cells in shards, and an index that says which cells there are."""

from sclong_data.corpus.check import Checked, Problem, check_corpus
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.corpus.index import CorpusIndex, read_index, write_corpus
from sclong_data.corpus.shards import ShardRecord, read_digests, read_shard_record, write_shard

__all__ = [
    "CellCorpus",
    "Checked",
    "CorpusIndex",
    "Problem",
    "ShardRecord",
    "check_corpus",
    "read_digests",
    "read_index",
    "read_shard_record",
    "write_corpus",
    "write_shard",
]
