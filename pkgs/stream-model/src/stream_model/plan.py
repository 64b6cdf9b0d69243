"""What is to be computed: the site's models, prepared for the step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fieldline.models import ModelFunction, load_model
from fieldline.site import AssetType, Site

# A variable's index where no model uses it.
UNUSED = -1


@dataclass(frozen=True, slots=True, eq=False)
class BoundModel:
    """A declared model: its name on the topic `model` and the function behind it."""

    name: str
    function: ModelFunction


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The models of one type that take the same inputs, so that these are gathered once.

    inputs: indices of the variables, in the models' order.
    """

    inputs: tuple[int, ...]
    models: tuple[BoundModel, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TypePlan:
    """An asset type as the step needs it.

    variables: name → index of each variable that a model uses, `UNUSED` for the others.
    groups_of: for each used variable the indices of the groups that take it.
    """

    name: str
    variables: dict[str, int]
    groups: tuple[Group, ...]
    groups_of: tuple[tuple[int, ...], ...]

    @property
    def names(self) -> list[str]:
        """The used variables' names, in the order of their indices."""
        used = [(index, name) for name, index in self.variables.items() if index != UNUSED]
        return [name for _, name in sorted(used)]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """asset name → the plan of its type."""

    assets: dict[str, TypePlan]


def plan_type(kind: AssetType, load: Callable[[str], ModelFunction] = load_model) -> TypePlan:
    """Prepare one asset type.

    Raises:
        FieldlineError: a model names a function that is not installed.
    """
    used = sorted({name for model in kind.models.values() for name in model.inputs})
    index = {name: number for number, name in enumerate(used)}
    groups: dict[tuple[int, ...], list[BoundModel]] = {}
    for model in kind.models.values():
        inputs = tuple(index[name] for name in model.inputs)
        groups.setdefault(inputs, []).append(BoundModel(model.name, load(model.function)))
    return TypePlan(
        kind.name,
        {name: index.get(name, UNUSED) for name in kind.variables},
        tuple(Group(inputs, tuple(models)) for inputs, models in groups.items()),
        tuple(
            tuple(number for number, inputs in enumerate(groups) if variable in inputs)
            for variable in range(len(used))
        ),
    )


def make_plan(site: Site, load: Callable[[str], ModelFunction] = load_model) -> Plan:
    """Prepare a site's models.

    Args:
        load: gives the function of a name; a test may give its own.
    Raises:
        FieldlineError: a model names a function that is not installed.
    """
    types = {name: plan_type(kind, load) for name, kind in site.types.items()}
    return Plan({asset.name: types[asset.type] for asset in site.assets})


def longest_period_ms(site: Site) -> int:
    """The longest declared period of a variable that a model uses, in ms; 0 where there is none."""
    return max(
        (
            kind.variables[name].period_ms
            for kind in site.types.values()
            for model in kind.models.values()
            for name in model.inputs
        ),
        default=0,
    )
