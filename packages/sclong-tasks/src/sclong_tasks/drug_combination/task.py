"""The task of drug combination: files, splits, metrics, models by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.chemistry.molecules import read_molecules
from sclong_tasks.drug_combination import reading
from sclong_tasks.drug_combination.config import CombinationSettings
from sclong_tasks.drug_combination.data import (
    TEST_SCREEN,
    TRAINING_SCREEN,
    CombinationData,
    make_data,
    merge_expression,
    read_data,
    write_data,
)
from sclong_tasks.drug_combination.metrics import evaluate_synergy
from sclong_tasks.drug_combination.splits import make_combination_split
from sclong_tasks.models import encoder_models
from sclong_tasks.splits import Split
from sclong_tasks.task import (
    DataFile,
    EncoderPlace,
    Metric,
    ModelSpec,
    ProtocolName,
    PublishedNumber,
    Task,
)

_DEEPDDS = "https://raw.githubusercontent.com/Sinwang404/DeepDDs/master/data"
_LICENCE = "none stated (DeepDDs)"
_MODELS = "sclong_tasks.drug_combination.models"
_PAIRS, _NAMES, _TPM = "new_labels_0_10.csv", "smiles.csv", "new_cell_features_954.csv"
_TEST = "independent_set/independent_input.csv"
_TEST_NAMES = "independent_set/independent_input_drug_cell.csv"
_TEST_TPM = "independent_set/independent_cell_features_954.csv"
_TEST_SCALED = "processed_independent_cell_features_filtered.csv"
_PAPER = "scLong, section on drug responses, Fig. 4c"


class DrugCombination(Task[CombinationData]):
    """Whether two drugs are synergistic in a cell line."""

    name: ClassVar = "drug_combination"
    title: ClassVar = "drug combination: whether two drugs are synergistic in a cell line (DeepDDS)"
    encoders: ClassVar = (EncoderPlace(f"{_MODELS}.network:Network", trained=True),)
    models: ClassVar = {
        **encoder_models(encoders[0]),
        "deepdds": ModelSpec(
            f"{_MODELS}.network:Network",
            options={"encoder": {"name": "raw"}},
            summary="DeepDDS: the same network on expression itself",
        ),
        "gradient_boosting": ModelSpec(
            f"{_MODELS}.simple:GradientBoosting", "simple", summary="boosted trees"
        ),
        "random_forest": ModelSpec(
            f"{_MODELS}.simple:RandomForest", "simple", summary="random forest"
        ),
        "logistic_regression": ModelSpec(
            f"{_MODELS}.simple:Logistic", "simple", summary="logistic regression"
        ),
        "drug_prior": ModelSpec(
            f"{_MODELS}.simple:DrugPrior", "floor", summary="share of each drug's pairs"
        ),
        "pair_prior": ModelSpec(
            f"{_MODELS}.simple:PairPrior", "floor", summary="share of the pair's cell lines"
        ),
    }
    baselines: ClassVar = (
        *("gradient_boosting", "random_forest", "logistic_regression", "drug_prior", "pair_prior"),
    )
    scenarios: ClassVar[Mapping[ProtocolName, tuple[str, ...]]] = {
        "honest": ("independent", "pair", "drug", "cell_line"),
        "published": ("independent", "random"),
    }
    data_files: ClassVar = (
        DataFile(
            _PAIRS,
            "training screen: pairs of drugs in cell lines (O'Neil et al.)",
            _LICENCE,
            f"{_DEEPDDS}/{_PAIRS}",
            "45db760db38066bf5e66013e210e578ca426f6e53a69e8c17a2da063177e8f03",
        ),
        DataFile(
            _TPM,
            "expression of its cell lines, TPM of 954 genes (CCLE)",
            _LICENCE,
            f"{_DEEPDDS}/{_TPM}",
            "8a049aa2cacbe7c12de1b4d7614a5b70650352d81da8d66f35877a3666cc78f7",
        ),
        DataFile(
            _NAMES,
            "names of drugs",
            _LICENCE,
            f"{_DEEPDDS}/{_NAMES}",
            "651182e8ead1af521c1bd970fa732fc87942513da1118b4d55862a692f354711",
            required=False,
        ),
        DataFile(
            _TEST,
            "test screen of another laboratory (AstraZeneca)",
            _LICENCE,
            f"{_DEEPDDS}/{_TEST}",
            "8eb6e3244cbc0982c1599c2325585b8750766a1344811a52375fd0703ec72c62",
            required=False,
            aliases=("independent_input.csv",),
        ),
        DataFile(
            _TEST_NAMES,
            "names of its drugs",
            _LICENCE,
            f"{_DEEPDDS}/{_TEST_NAMES}",
            "dc7d64a16c175cedd4634bbca7d35ada50e2b4be12ae280cf2fd6e8eb6a28466",
            required=False,
            aliases=("independent_input_drug_cell.csv",),
        ),
        DataFile(
            _TEST_TPM,
            "expression of its cell lines, TPM",
            _LICENCE,
            required=False,
            aliases=("independent_cell_features_954.csv",),
        ),
        DataFile(
            _TEST_SCALED,
            "the same for some of them, scaled to 0..1; used where the TPM are missing",
            "none stated (minhhotboy9x/DeepDDs)",
            required=False,
        ),
    )
    papers_rows: ClassVar = 12_415 + 668
    papers_digests: ClassVar = ("8982c533", "b2835562")  # 622 of 668 test rows have expression here
    published: ClassVar = (
        PublishedNumber("sclong", "independent", "auroc", 0.652, _PAPER),
        PublishedNumber("Geneformer", "independent", "auroc", 0.635, _PAPER),
        PublishedNumber("scGPT", "independent", "auroc", 0.616, _PAPER),
        PublishedNumber("deepdds", "independent", "auroc", 0.604, _PAPER),
        PublishedNumber("UCE", "independent", "auroc", 0.603, _PAPER),
        PublishedNumber("scFoundation", "independent", "auroc", 0.593, _PAPER),
        PublishedNumber("random_forest", "independent", "auroc", 0.533, _PAPER),
    )
    inputs: ClassVar[Mapping[str, str]] = {
        "pairs": "CSV with columns drug1, drug2 (names of known drugs, or SMILES) and cell",
        "expression": "CSV of new cell lines: a column cell, then a column a gene, in TPM",
    }
    Settings: ClassVar[type] = CombinationSettings

    def prepare(self, sources: Mapping[str, Path], folder: Path) -> None:
        """Read the original files, check them and write rows, drugs and expression."""
        pairs = reading.read_pairs(sources[_PAIRS]).assign(screen=TRAINING_SCREEN)
        names = reading.read_drug_names(sources[_NAMES]) if _NAMES in sources else {}
        expression = [reading.read_tpm(sources[_TPM])]
        if _TEST in sources:
            test = reading.read_pairs(sources[_TEST]).assign(screen=TEST_SCREEN)
            if _TEST_NAMES in sources:
                names = {**reading.read_named_pairs(sources[_TEST_NAMES], test), **names}
            if _TEST_TPM in sources:
                expression.append(reading.read_tpm(sources[_TEST_TPM]))
            elif _TEST_SCALED in sources:
                scaled = reading.read_scaled(sources[_TEST_SCALED], expression[0])
                wanted = [cell for cell in scaled.cells if cell in set(test["cell"])]
                expression.append(scaled.take(wanted))
            pairs = pd.concat([pairs, test], ignore_index=True)
        read_molecules({smiles: smiles for smiles in {*pairs["drug1"], *pairs["drug2"]}})
        write_data(folder, pairs, names, expression)

    def load(self, folder: Path, settings: CombinationSettings) -> CombinationData:
        """Rows whose drugs and cell lines are known; conflicts by the settings."""
        return read_data(folder, settings)

    def split(
        self,
        data: CombinationData,
        *,
        scenario: str,
        seed: int,
        settings: CombinationSettings,
    ) -> Split:
        """See :func:`~sclong_tasks.drug_combination.splits.make_combination_split`."""
        return make_combination_split(data, scenario=scenario, seed=seed, settings=settings)

    def selection(self, split: Split, settings: CombinationSettings) -> Split:
        """The test rows as validation rows, where the original's fault is asked for."""
        if not settings.select_on_test:
            return split
        return Split(split.name, split.seed, split.unit, split.train, split.test, split.test[:0])

    def evaluate(
        self,
        data: CombinationData,
        predictions: pd.DataFrame,
        split: Split,
        settings: CombinationSettings,
    ) -> list[Metric]:
        """See :func:`~sclong_tasks.drug_combination.metrics.evaluate_synergy`."""
        return evaluate_synergy(data, predictions, split, settings)

    def read_inputs(self, inputs: Mapping[str, Path], known: CombinationData) -> CombinationData:
        """New rows; drugs by name or SMILES, cell lines known or in the file of expression."""
        if "pairs" not in inputs:
            raise InputError("drug_combination predicts for pairs: give the input pairs=FILE")
        rows = reading.read_new_pairs(inputs["pairs"])
        smiles = {molecule.name: molecule.smiles for molecule in known.molecules.molecules}
        smiles |= {text: text for text in [*rows["drug1"], *rows["drug2"]] if text not in smiles}
        expression = known.expression
        if "expression" in inputs:
            new = reading.read_new_expression(inputs["expression"], expression.genes)
            expression = merge_expression([new, expression])
        unknown = sorted(set(rows["cell"]) - set(expression.cells))
        if unknown:
            raise InputError(
                f"{len(unknown)} cell lines have no expression: {', '.join(unknown[:5])}: give "
                "them with --input expression=FILE"
            )
        return make_data(
            rows.assign(label=np.nan, screen="new"), read_molecules(smiles), expression
        )
