"""For each model without fresh results, the first hop at which it stopped, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fieldline.provision.topics import DEAD_LETTER
from fieldline.site import Site
from fieldline.verify.catalogue import Catalogue, DeclaredModel
from fieldline.where.causes import cause
from fieldline.where.diagnosis import Stop
from fieldline.where.evidence import LEAST_NS, PERIODS, Evidence, limits_of
from fieldline.where.judge_variables import Found, Variables, behind_kafka
from fieldline.where.probes import hosts_of

# A model that has failed within this is failing: with each input it is tried again.
_FAILING_NS = 60 * 10**9


class Models:
    """Judges models, once the variables are judged.

    Args:
        chosen: indices of the models to judge.
        stops: of all variables that these models take, where they stopped.
    """

    def __init__(
        self,
        site: Site,
        catalogue: Catalogue,
        evidence: Evidence,
        chosen: Sequence[int],
        variables: Variables,
        stops: Mapping[int, Stop],
    ) -> None:
        self._site = site
        self._catalogue = catalogue
        self._evidence = evidence
        self._chosen = chosen
        self._variables = variables
        self._inputs = stops
        _, self._limits = limits_of(catalogue)
        self._types = {asset.name: asset.type for asset in site.assets}
        self._hosts = hosts_of(site, "stream-model")
        self._whole = self._service()
        self.arriving = 0

    def stops(self) -> list[Stop]:
        """The models whose results do not arrive."""
        return [stop for index in self._chosen if (stop := self._judge(index)) is not None]

    def _judge(self, index: int) -> Stop | None:
        model = self._catalogue.models[index]
        evidence = self._evidence
        stored = evidence.stored
        stored_ns: int | None = None
        if stored is not None:
            stored_ns = int(stored.results[index]) or evidence.past_results.get(index)
        seen = (
            None if evidence.tail is None else evidence.tail.results.get((model.asset, model.name))
        )
        kafka_ns = 0 if seen is None else seen.time_ns
        visible = kafka_ns if stored is None and not evidence.store_problem else stored_ns
        if self._is_fresh(index, visible):
            self.arriving += 1
            return None
        never = stored_ns == 0 and not kafka_ns
        if self._is_fresh(index, kafka_ns):
            found = behind_kafka(self._site, evidence, self._variables.blame, "telegraf-model")
            return self._stop(model, found, stored_ns)
        explained = self._by_inputs(model, never)
        if explained is not None:
            since = max(stored_ns or 0, kafka_ns) or None
            found = explained.hop, explained.name, explained.cause
            return self._stop(model, found, since, never=never)
        if self._keeps_up(model, max(visible or 0, kafka_ns)):
            self.arriving += 1
            return None
        if stored is None and (evidence.tail is None or evidence.tail.problem):
            return None
        return self._stop(model, self._blame(model), max(stored_ns or 0, kafka_ns), never=never)

    def _stop(
        self, model: DeclaredModel, found: Found, since_ns: int | None, *, never: bool = False
    ) -> Stop:
        hop, name, why = found
        series = f"{model.asset}/{model.name}"
        return Stop(series, hop, name, why, since_ns or None, never, model=True)

    def _is_fresh(self, index: int, time_ns: int | None) -> bool:
        if not time_ns:
            return False
        first = self._catalogue.models[index].inputs[0]
        clock = self._evidence.clock_s(self._catalogue.variables[first].server)
        now = self._evidence.now_ns + round(clock * 10**9)
        return now - time_ns <= int(self._limits[index])

    def _by_inputs(self, model: DeclaredModel, never: bool) -> Stop | None:
        """The input that explains why there are no results; None if the inputs would do.

        A model gives a result at each change of an input, once all are known: it goes on until the
        last input has stopped, and does not begin before the last has come.
        """
        stopped = [self._inputs[i] for i in model.inputs if i in self._inputs]
        if never:
            missing = [stop for stop in stopped if stop.never]
            if missing:
                return missing[0]
        if len(stopped) == len(model.inputs):
            return max(stopped, key=lambda stop: stop.since_ns or 0)
        return None

    def _keeps_up(self, model: DeclaredModel, result_ns: int) -> bool:
        """Whether the results are as new as the inputs that still come, which may be slow."""
        flowing = [i for i in model.inputs if i not in self._inputs]
        fastest = min(self._catalogue.variables[i].period_ms for i in flowing) * 10**6
        limit = max(PERIODS * fastest, LEAST_NS)
        newest = max(
            max(self._variables.stored_ns(i) or 0, self._variables.kafka_ns(i)) for i in flowing
        )
        return newest - result_ns <= limit and self._evidence.now_ns - result_ns <= limit

    def _blame(self, model: DeclaredModel) -> Found:
        if self._whole is not None:
            return self._whole
        name = f"{self._types[model.asset]}.{model.name}"
        lag = self._evidence.readings.kafka.lag("stream-model")
        for host, told in self._evidence.readings.models.items():
            for failing in () if told.state is None else told.state.failing:
                if failing.model == name and self._evidence.now_ns - failing.last_ns < _FAILING_NS:
                    why = cause("model-failing", model=name, reason=failing.error)
                    return "stream-model", host, why
        if lag:
            return "stream-model", "stream-model", cause("model-behind", lag=lag)
        topic = DEAD_LETTER
        return "stream-model", "stream-model", cause("model-silent", topic=topic)

    def _service(self) -> Found | None:
        """Why no stream model works at all; one that does is enough."""
        found = {host: self._variables.blame.model(host) for host in self._hosts}
        for host, why in found.items():
            if why is not None and all(found.values()):
                return "stream-model", host, why
        return None
