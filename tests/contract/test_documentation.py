"""What the pages and the contracts say of the code is true."""

import importlib
import pkgutil
import re
from pathlib import Path

import services
from scripts.document_settings import PAGE, SERVICES, _settings_of, document_settings
from services.runtime.errors import MixdownError

ROOT = Path(__file__).parents[2]


def every_error() -> set[type[MixdownError]]:
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if module.name.rsplit(".", 1)[-1] in {"errors", "interceptors"}:
            importlib.import_module(module.name)
    found: set[type[MixdownError]] = set()
    waiting = [MixdownError]
    while waiting:
        kind = waiting.pop()
        below = kind.__subclasses__()
        if not below:  # what has others below it is never raised itself
            found.add(kind)
        waiting += below
    return {kind for kind in found if kind.__module__.startswith("services.")}


def test_the_page_of_settings_is_what_the_code_says():
    assert PAGE.read_text(encoding="utf-8") == document_settings(), "run `make docs`"


def test_every_setting_is_described():
    for service in SERVICES:
        for name, field in _settings_of(service).model_fields.items():
            assert field.description, f"{service}: {name}"


def test_every_reason_that_a_service_gives_is_written_in_the_contracts():
    contracts = " ".join(path.read_text() for path in (ROOT / "protos").rglob("*.proto"))
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\b", contracts))
    missing = {kind.reason for kind in every_error()} - named
    assert not missing


def test_a_reason_always_means_the_same_code():
    codes: dict[str, set[str]] = {}
    for kind in every_error():
        codes.setdefault(kind.reason, set()).add(kind.code.name)
    assert {reason: found for reason, found in codes.items() if len(found) > 1} == {}
