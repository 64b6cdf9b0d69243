"""The site's variables and models, numbered, so that points are columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fieldline.site import Site


@dataclass(frozen=True, slots=True)
class DeclaredVariable:
    """A variable of an asset; `own` tells whether its server keeps a record."""

    asset: str
    variable: str
    id: str
    server: str
    own: bool
    period_ms: int


@dataclass(frozen=True, slots=True)
class DeclaredModel:
    """A model of an asset; `inputs` are indices of variables, in the model's order."""

    asset: str
    name: str
    function: str
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """What is declared.

    Attributes:
        variables, models: an index of these is what points carry.
        variable_index: (asset, variable) to index; model_index: (asset, model) to index.
    """

    variables: tuple[DeclaredVariable, ...]
    models: tuple[DeclaredModel, ...]
    variable_index: Mapping[tuple[str, str], int]
    model_index: Mapping[tuple[str, str], int]

    def names(self) -> list[str]:
        """The different names of variables, sorted."""
        return sorted({variable.variable for variable in self.variables})

    def foreign_servers(self) -> list[str]:
        """The servers without a record, sorted."""
        return sorted({v.server for v in self.variables if not v.own})

    def values_per_second(self) -> float:
        """How many values the site produces, by its declared periods."""
        return sum(1000 / variable.period_ms for variable in self.variables)


def catalogue_of(site: Site) -> Catalogue:
    """Number the site's variables and models, in the order of its assets."""
    variables: list[DeclaredVariable] = []
    models: list[DeclaredModel] = []
    for asset in site.assets:
        kind = site.types[asset.type]
        own = site.servers[asset.server].own
        index = {}
        for name, variable in kind.variables.items():
            index[name] = len(variables)
            node = str(asset.nodes[name])
            variables.append(
                DeclaredVariable(asset.name, name, node, asset.server, own, variable.period_ms)
            )
        for model in kind.models.values():
            inputs = tuple(index[name] for name in model.inputs)
            models.append(DeclaredModel(asset.name, model.name, model.function, inputs))
    return Catalogue(
        tuple(variables),
        tuple(models),
        {(v.asset, v.variable): i for i, v in enumerate(variables)},
        {(m.asset, m.name): i for i, m in enumerate(models)},
    )
