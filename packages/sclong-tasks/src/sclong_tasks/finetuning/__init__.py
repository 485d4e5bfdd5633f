"""Classifiers of cells: ``sclong finetune`` trains one, ``sclong predict`` uses it."""

from sclong_tasks.finetuning.classifier import Classifier, Prediction
from sclong_tasks.finetuning.prediction import predict
from sclong_tasks.finetuning.training import FinetuneOptions, finetune

__all__ = ["Classifier", "FinetuneOptions", "Prediction", "finetune", "predict"]
