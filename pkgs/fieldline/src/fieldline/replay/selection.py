"""Which models are replayed, for which assets, and with which functions."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline.models import Floats, ModelFunction, evaluate, load_model
from fieldline.verify.catalogue import Catalogue


@dataclass(slots=True)
class Failures:
    """What a function could not give: how many results, and the first reason."""

    count: int = 0
    error: str = ""


@dataclass(slots=True)
class Functions:
    """Loads functions by name: an entry point's, or `module:function` from a folder.

    They are called as the stream model calls them: an event that a function cannot take has no
    result, and the others have theirs.
    """

    folder: Path
    failures: dict[str, Failures] = field(default_factory=dict)

    def load(self, name: str) -> ModelFunction:
        """The function of a name.

        Raises:
            FieldlineError: there is none, or it cannot be loaded.
        """
        function = self._imported(name) if ":" in name else load_model(name)
        failures = self.failures.setdefault(name, Failures())

        def call(inputs: Floats) -> Floats:
            inputs.flags.writeable = False
            evaluation = evaluate(function, inputs)
            failures.count += evaluation.failed
            failures.error = failures.error or evaluation.error
            return evaluation.values

        return call

    def _imported(self, name: str) -> ModelFunction:
        module, _, attribute = name.partition(":")
        # Behind everything else: what is installed is never hidden by a file that lies here.
        if str(self.folder) not in sys.path:
            sys.path.append(str(self.folder))
        try:
            function = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # somebody's module may fail in any way
            raise FieldlineError(
                f"The model function {name} cannot be loaded: write MODULE:FUNCTION of a module"
                f" that is installed or lies in {self.folder} (--path).",
                repr(error),
            ) from error
        if not callable(function):
            raise FieldlineError(f"{name} is not a function: name one of the module {module}.")
        loaded: ModelFunction = function
        return loaded


def parse_models(texts: Iterable[str]) -> dict[str, str | None]:
    """`NAME` or `NAME=FUNCTION`, to the model's name and its function, if another one is wanted.

    Raises:
        FieldlineError: a name comes twice, or a part is missing.
    """
    found: dict[str, str | None] = {}
    for text in texts:
        name, given, function = text.partition("=")
        if not name or (given and not function):
            raise FieldlineError(f"--model {text}: write NAME or NAME=MODULE:FUNCTION.")
        if name in found:
            raise FieldlineError(f"--model {name} is given twice: a replay compares one at a time.")
        found[name] = function or None
    return found


def select(
    catalogue: Catalogue, models: Mapping[str, str | None], assets: Sequence[str]
) -> Catalogue:
    """The models of these names and assets (all, where none is named), and just their inputs.

    Raises:
        FieldlineError: a name is not declared.
    """
    _check("model", models, {model.name for model in catalogue.models})
    _check("asset", assets, {model.asset for model in catalogue.models})
    chosen = [
        replace(model, function=models.get(model.name) or model.function)
        for model in catalogue.models
        if (not models or model.name in models) and (not assets or model.asset in assets)
    ]
    if not chosen:
        raise FieldlineError("Nothing is to be replayed: these assets have no such model.")
    kept = sorted({index for model in chosen for index in model.inputs})
    place = {index: number for number, index in enumerate(kept)}
    variables = tuple(catalogue.variables[index] for index in kept)
    renumbered = tuple(
        replace(model, inputs=tuple(place[index] for index in model.inputs)) for model in chosen
    )
    return Catalogue(
        variables,
        renumbered,
        {(v.asset, v.variable): i for i, v in enumerate(variables)},
        {(m.asset, m.name): i for i, m in enumerate(renumbered)},
    )


def _check(kind: str, wanted: Iterable[str], known: set[str]) -> None:
    for name in wanted:
        if name not in known:
            names = sorted(known)
            shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if names[20:] else "")
            raise FieldlineError(f"No {kind} {name} is declared with a model. There are: {shown}.")
