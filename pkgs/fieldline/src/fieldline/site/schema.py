"""The JSON Schema of `site.toml`, for editors: pydantic's, said in the terms of TOML."""

from __future__ import annotations

from typing import Any

from fieldline.site.tables import SiteTable


def site_schema() -> dict[str, Any]:
    """Give the schema; it holds for the shape of a site (stage 1 of docs/site.md)."""
    schema: dict[str, Any] = _for_toml(SiteTable.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _for_toml(node: Any) -> Any:
    if isinstance(node, list):
        return [_for_toml(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {name: _for_toml(value) for name, value in node.items()}
    if "patternProperties" in result:
        # Pydantic leaves other names free.
        result["additionalProperties"] = False
    if "default" in result and isinstance(result["default"], dict | None):
        # Defaults of single values stand beside those; TOML has no null.
        del result["default"]
    either = result.get("anyOf")
    if isinstance(either, list) and {"type": "null"} in either:
        del result["anyOf"]
        rest = [choice for choice in either if choice != {"type": "null"}]
        result = {**(rest[0] if len(rest) == 1 else {"anyOf": rest}), **result}
    return result
