"""Results as records of the topic `model`."""

from __future__ import annotations

from collections.abc import Sequence

from fieldline.messages import FORMAT_HEADERS, ModelResult, encode_result
from fieldline.stream import Output


def result_records(results: Sequence[ModelResult]) -> list[Output]:
    """The results' records; their key is the asset."""
    keys = {asset: asset.encode() for asset in {result.asset for result in results}}
    return [(keys[result.asset], encode_result(result), FORMAT_HEADERS) for result in results]
