"""Networks from elsewhere: a function named by its import path, timm, torchvision."""

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
from lbc.models.probe import logits_of, trial

Shape = tuple[int, int, int]


def maker(
    model: config.Imported | config.Timm | config.Torchvision, in_shape: Shape, classes: int
) -> Callable[[], nn.Module]:
    """A function that builds the network, once its code has been imported here.

    timm and torchvision are told the number of classes, and timm that of channels, unless
    ``kwargs`` do. Raises ValueError with one sentence where the code cannot be imported; the
    function raises it where it fails, returns no Module, or one that cannot take the images.
    """
    match model:
        case config.Imported():
            module_name, _, name = model.import_.partition(":")
            function = _function(_import(module_name, "model.import"), name, "model.import")
            make = partial(function, **model.kwargs)
            said = model.import_
        case config.Timm():
            function = _function(_import("timm", "model.name"), "create_model", "model.name")
            defaults = {"num_classes": classes, "in_chans": in_shape[0]}
            make = partial(function, model.model, **(defaults | model.kwargs))
            said = f"timm's {model.model}"
        case config.Torchvision():
            function = _function(
                _import("torchvision", "model.name"), "models.get_model", "model.name"
            )
            make = partial(
                function, model.model, **({"weights": None, "num_classes": classes} | model.kwargs)
            )
            said = f"torchvision's {model.model}"
    return partial(_checked, said, make, in_shape, classes)


def _checked(said: str, make: Callable[[], object], in_shape: Shape, classes: int) -> nn.Module:
    try:
        model = make()
    except (Exception, SystemExit) as error:
        raise ValueError(f"{said} failed: {_reason(error)}.") from error
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"{said} returned {type(model).__name__}: it must return a torch.nn.Module."
        )
    wrong = logits_of(trial(model, in_shape), classes)
    if wrong:
        raise ValueError(f"{said} {wrong}.")
    return model


def _import(name: str, key: str) -> ModuleType:
    # As "python -m" has it: a user's own module lies in the folder they work in. Last, so that
    # no file there takes the place of an installed package.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
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
        f"{key}: there is no module {part!r} to import {name} from: install its package, or start "
        "this program in the folder that holds it."
    )


def _function(module: ModuleType, name: str, key: str) -> Callable[..., object]:
    try:
        function = attrgetter(name)(module)
    except AttributeError as error:
        raise ValueError(f"{key}: {module.__name__} has no {name}: {error}.") from error
    if not callable(function):
        raise ValueError(
            f"{key}: {module.__name__}:{name} is of type {type(function).__name__}, which cannot "
            "be called: name a function that returns the network."
        )
    return function  # type: ignore[no-any-return]


def _reason(error: BaseException) -> str:
    """Class, first line and place of an error, for one sentence."""
    text = (str(error).strip() or "no reason given").splitlines()[0].rstrip(".")
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [at for at in frames if at.filename != __file__ and not at.filename.startswith("<")]
    place = f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {text}{place}"
