"""The experiment: all settings of a training run, as frozen models and as a YAML file."""

from lbc.config.augmentation import Augment
from lbc.config.data import Cifar10, Cifar100, Data, Digits, IdxFiles, ImageFolder, NpzFile, Source
from lbc.config.experiment import VERSION, Experiment
from lbc.config.experiment_files import (
    dump_experiment,
    load_experiment,
    parse_experiment,
    to_document,
)
from lbc.config.external import EXTERNAL, Imported, Timm, Torchvision, check_import
from lbc.config.model import CifarResNet, ConvNet, DeiT, Mlp, Model, ResNet
from lbc.config.training import Keep, Optimizer, RemovalSchedule, Teacher, Training

__all__ = [
    "EXTERNAL",
    "VERSION",
    "Augment",
    "Cifar10",
    "Cifar100",
    "CifarResNet",
    "ConvNet",
    "Data",
    "DeiT",
    "Digits",
    "Experiment",
    "IdxFiles",
    "ImageFolder",
    "Imported",
    "Keep",
    "Mlp",
    "Model",
    "NpzFile",
    "Optimizer",
    "RemovalSchedule",
    "ResNet",
    "Source",
    "Teacher",
    "Timm",
    "Torchvision",
    "Training",
    "check_import",
    "dump_experiment",
    "load_experiment",
    "parse_experiment",
    "to_document",
]
