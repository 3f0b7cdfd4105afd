"""Training: the step, the loop around it, and what survives an interruption."""

from atlpa.training.averaging import AveragedModel, Averaging
from atlpa.training.checkpoint import Checkpoint, optimizer_state
from atlpa.training.checkpoint_file import load_checkpoint, save_checkpoint
from atlpa.training.collapse import Collapse
from atlpa.training.collapse_watch import CollapseWatch
from atlpa.training.log import TrainingLog
from atlpa.training.loop import SELECTION, Kept, train
from atlpa.training.recipe import Recipe
from atlpa.training.schedule import Schedule
from atlpa.training.sound import SoundCheckpoint
from atlpa.training.step import training_step
from atlpa.training.trackers import TRACKERS, Tracking

__all__ = [
    "SELECTION",
    "TRACKERS",
    "AveragedModel",
    "Averaging",
    "Checkpoint",
    "Collapse",
    "CollapseWatch",
    "Kept",
    "Recipe",
    "Schedule",
    "SoundCheckpoint",
    "Tracking",
    "TrainingLog",
    "load_checkpoint",
    "optimizer_state",
    "save_checkpoint",
    "train",
    "training_step",
]
