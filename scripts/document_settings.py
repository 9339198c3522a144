"""Writes docs/configuration.md from the settings classes of the services.

`make docs` runs it; a test fails where the page is not what this writes.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from pydantic.fields import FieldInfo

from services.runtime.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
SERVICES = ("gateway", "interpreter", "separator", "remixer", "session")

_HEAD = """# Configuration

Every service reads its settings once, at start, from environment variables. This page is made
from the code by `make docs`.
"""


def document_settings() -> str:
    """Returns the page as Markdown."""
    shared = set(Settings.model_fields)
    parts = [
        _HEAD,
        "\n## Every service\n\n",
        _table({n: Settings.model_fields[n] for n in Settings.model_fields}),
    ]
    for service in SERVICES:
        fields = _settings_of(service).model_fields
        own = {name: field for name, field in fields.items() if name not in shared}
        parts += [f"\n## {service}\n\n", _table(own)]
    return "".join(parts)


def _settings_of(service: str) -> type[Settings]:
    module = importlib.import_module(f"services.{service}.settings")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Settings)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise LookupError(f"services/{service}/settings.py must define one Settings class")
    return found[0]


def _table(fields: dict[str, FieldInfo]) -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in fields.items():
        meaning = (field.description or "").replace("|", "\\|").replace("\n", " ")
        rows.append(f"| `MIXDOWN_{name.upper()}` | {_default(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    text = "" if value is None else str(value).replace(str(Path.home()), "~")
    return f"`{text}`" if text else "none"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(document_settings(), encoding="utf-8")
