"""Pretraining with Lightning: masks, loss, schedule, data, checkpoints, and the command."""
