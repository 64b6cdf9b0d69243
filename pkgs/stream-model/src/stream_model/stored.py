"""How the state is stored in the changelog: what a step added to an asset's window, or the whole.

Variables stand there by name, since their numbers follow from the site, which may change; what the
site does not know any more is left out when it is read. Arrays are little-endian, as they are in
memory on all machines that we run on.

    context   names of the used variables, a list for each asset type that was touched
    change    which of these lists (uint16), then n variables (uint16), n times (int64, ns) and
              n values (float64): 2 + 18 n bytes
    snapshot  newest time; for each variable its name, times and values from the last one at or
              before the horizon on; for each group of models its inputs and the revisions given

The key of a window is the asset's name. An asset's repairs are a part of their own, and so is what
recomputations know of the partition; both are small, and always stored whole.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import msgspec
from fieldline.stream import Change

from stream_model.plan import UNUSED, TypePlan
from stream_model.step import State
from stream_model.window import Kept, Window

_NUMBER = 2
_VALUE = 2 + 8 + 8
# No asset's name has this byte: it is before the name in the key of its repairs, and alone it is
# the partition's key.
_REPAIRS = b"\0"


class _Snapshot(msgspec.Struct, array_like=True, gc=False):
    newest: int
    variables: list[tuple[str, bytes, bytes]]
    # Of each group of models: its inputs, by their place in `variables`, and tick → revision.
    groups: list[tuple[tuple[int, ...], dict[int, int]]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Snapshot).decode
_decode_names = msgspec.msgpack.Decoder(list[list[str]]).decode


def take_changes(state: State, touched: Sequence[Window]) -> tuple[bytes, list[Change]]:
    """Context and changes of what was added to these windows, and of changed repairs.

    What has been given is forgotten by that.
    """
    tables: dict[TypePlan, bytes] = {}
    changes = []
    for window in touched:
        number = tables.get(window.kind)
        if number is None:
            number = tables[window.kind] = len(tables).to_bytes(_NUMBER, "little")
        variables, times, values = window.take_added()
        packed = b"".join((number, variables.tobytes(), times.tobytes(), values.tobytes()))
        changes.append((window.key, packed))
    repairs = state.repairs
    if repairs.changed or repairs.ledger_changed:
        changes += [(_key(asset), repairs.encode(asset)) for asset in repairs.changed]
        if repairs.ledger_changed:
            changes.append((_REPAIRS, repairs.encode_ledger()))
        repairs.changed.clear()
        repairs.ledger_changed = False
    return _encode([kind.names for kind in tables]), changes


def _key(asset: str) -> bytes:
    return _REPAIRS + asset.encode()


def keys(state: State) -> list[bytes]:
    """The keys of all parts."""
    known = [window.key for window in state.windows.values() if window.newest >= 0]
    return [*known, *map(_key, state.repairs.assets()), _REPAIRS]


def apply(state: State, context: bytes, changes: Iterable[Change]) -> None:
    """Take the changes of one step again, by the same way as the step did."""
    tables = _decode_names(context)
    for key, packed in changes:
        if key[:1] == _REPAIRS:
            _load_repairs(state, key, packed)
            continue
        window = state.window(key.decode())
        if window is None:
            continue
        names = tables[int.from_bytes(packed[:_NUMBER], "little")]
        numbers = [window.kind.variables.get(name, UNUSED) for name in names]
        count = (len(packed) - _NUMBER) // _VALUE
        times_at = _NUMBER + 2 * count
        values_at = times_at + 8 * count
        variables = array("H", packed[_NUMBER:times_at])
        times = array("q", packed[times_at:values_at])
        values = array("d", packed[values_at:])
        for variable, time, value in zip(variables, times, values, strict=True):
            number = numbers[variable]
            if number != UNUSED:
                window.add(number, time, value)
        window.count_as_given()


def snapshot(state: State, key: bytes) -> bytes:
    """The whole of a part; windows must be settled."""
    if key == _REPAIRS:
        return state.repairs.encode_ledger()
    if key[:1] == _REPAIRS:
        return state.repairs.encode(key[1:].decode())
    window = state.windows[key.decode()]
    kind = window.kind
    kept = window.kept()
    return _encode(
        _Snapshot(
            window.newest,
            [
                (name, times.tobytes(), values.tobytes())
                for name, (times, values) in zip(kind.names, kept.values, strict=True)
            ],
            [
                (group.inputs, given)
                for group, given in zip(kind.groups, kept.revisions, strict=True)
            ],
        )
    )


def load(state: State, key: bytes, data: bytes) -> bool:
    """Take a snapshot; False if the asset is not declared any more."""
    if key[:1] == _REPAIRS:
        return _load_repairs(state, key, data)
    window = state.window(key.decode())
    if window is None:
        return False
    stored = _decode(data)
    kind = window.kind
    found = {
        name: (array("q", times), array("d", values)) for name, times, values in stored.variables
    }
    names = list(found)
    given = {tuple(names[place] for place in inputs): given for inputs, given in stored.groups}
    # Models whose inputs have changed: whatever was given for a time by any of them counts, so that
    # no revision is given twice.
    highest: dict[int, int] = {}
    for revisions in given.values():
        for tick, revision in revisions.items():
            highest[tick] = max(revision, highest.get(tick, 0))
    window.restore(
        Kept(
            [found.get(name, (array("q"), array("d"))) for name in kind.names],
            [
                dict(given.get(tuple(kind.names[number] for number in group.inputs), highest))
                for group in kind.groups
            ],
        ),
        stored.newest,
    )
    return True


def _load_repairs(state: State, key: bytes, data: bytes) -> bool:
    asset = key[1:].decode()
    if not asset:
        state.repairs.load_ledger(data)
        return True
    if asset not in state.plan.assets:
        return False
    # Also if there is none: the entries after it may have one.
    state.repairs.load(asset, data)
    return True
