"""External models: from a function given by its import path, from timm or from torchvision."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module, invalidate_caches
from operator import attrgetter
from pathlib import Path
from types import ModuleType

from torch import nn

from lbc import config
from lbc.models.probe import explain_wrong_output, run_on_zeros

Shape = tuple[int, int, int]


def make_builder(
    model: config.Imported | config.Timm | config.Torchvision, in_shape: Shape, classes: int
) -> Callable[[], nn.Module]:
    """Import the model's code and return a function that builds the model.

    timm and torchvision get the number of classes, and timm the number of channels, unless
    ``kwargs`` set them. Raises ValueError if the code cannot be imported; the returned function
    raises it if the call fails or returns no Module that accepts the images.
    """
    match model:
        case config.Imported():
            module_name, _, name = model.import_.partition(":")
            function = _function(_import(module_name, "model.import"), name, "model.import")
            make = partial(function, **model.kwargs)
        case config.Timm():
            function = _function(_import("timm", "model.name"), "create_model", "model.name")
            defaults = {"num_classes": classes, "in_chans": in_shape[0]}
            make = partial(function, model.model, **(defaults | model.kwargs))
        case config.Torchvision():
            function = _function(
                _import("torchvision", "model.name"), "models.get_model", "model.name"
            )
            make = partial(
                function, model.model, **({"weights": None, "num_classes": classes} | model.kwargs)
            )
    return partial(_build, model.label, make, in_shape, classes)


def _build(label: str, make: Callable[[], object], in_shape: Shape, classes: int) -> nn.Module:
    try:
        model = make()
    except (Exception, SystemExit) as error:
        raise ValueError(f"{label} failed: {_reason(error)}.") from error
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"{label} returned {type(model).__name__}: it must return a torch.nn.Module."
        )
    wrong = explain_wrong_output(run_on_zeros(model, in_shape), classes)
    if wrong:
        raise ValueError(f"{label} {wrong}.")
    return model


def _import(name: str, key: str) -> ModuleType:
    # Like "python -m": find the user's modules in the current folder. Appended last, so that no
    # file there shadows an installed package.
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    invalidate_caches()
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ValueError(_missing(name, error.name, key)) from error
        raise ValueError(f"{key}: importing {name} failed: {_reason(error)}.") from error
    except (Exception, SystemExit) as error:
        raise ValueError(f"{key}: importing {name} failed: {_reason(error)}.") from error


def _missing(name: str, part: str, key: str) -> str:
    if key == "model.name":
        return f"{key}: {name} is not installed: run 'pip install {name}', or choose another model."
    return (
        f"{key}: cannot import {name}, because there is no module {part!r}: install it, or start "
        "this program in the folder that contains it."
    )


def _function(module: ModuleType, name: str, key: str) -> Callable[..., object]:
    try:
        function = attrgetter(name)(module)
    except AttributeError as error:
        raise ValueError(f"{key}: {module.__name__} has no {name}: {error}.") from error
    if not callable(function):
        raise ValueError(
            f"{key}: {module.__name__}:{name} is of type {type(function).__name__}, which is not "
            "callable: enter a function that returns the model."
        )
    return function  # type: ignore[no-any-return]


def _reason(error: BaseException) -> str:
    """The class, the first line and the location of an error."""
    text = (str(error).strip() or "no reason given").splitlines()[0].rstrip(".")
    frames = traceback.extract_tb(error.__traceback__)
    user = [at for at in frames if at.filename != __file__ and not at.filename.startswith("<")]
    location = f" ({Path(user[-1].filename).name}, line {user[-1].lineno})" if user else ""
    return f"{type(error).__name__}: {text}{location}"
