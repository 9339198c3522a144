"""The mix: settings of every target, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

from mixdown.mix.checks import check_settings
from mixdown.mix.ranges import MixError, UnknownTargetError
from mixdown.mix.settings import MASTER, NEUTRAL, EqBand, Filter, Passage, TargetSettings


@dataclass(frozen=True)
class Mix:
    """Settings of every target that is not neutral.

    Two mixes that sound the same compare equal: neutral targets are dropped, the rest is sorted.

    Args:
        targets: Settings by target: a stem's name or `MASTER`.
    """

    targets: Mapping[str, TargetSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {name: self.targets[name] for name in sorted(self.targets)}
        object.__setattr__(
            self, "targets", {name: value for name, value in kept.items() if not value.is_neutral}
        )

    def __hash__(self) -> int:
        return hash(self.canonical_json())

    def __getitem__(self, target: str) -> TargetSettings:
        return self.targets.get(target, NEUTRAL)

    @property
    def is_neutral(self) -> bool:
        """Whether this mix is the original."""
        return not self.targets

    def with_target(self, target: str, settings: TargetSettings) -> Mix:
        """Returns this mix with other settings for one target."""
        return Mix({**self.targets, target: settings})

    def change(self, target: str, **settings: Any) -> Mix:
        """Returns this mix with some settings of one target replaced, outside of its passages.

        >>> Mix().change("vocals", gain_db=3.0)["vocals"].gain_db
        3.0
        """
        return self.with_target(target, replace(self[target], **settings))

    def check(self, stems: Iterable[str]) -> None:
        """Checks every target and every range.

        Raises:
            UnknownTargetError: a target is neither in `stems` nor `MASTER`.
            MixOutOfRangeError: a setting is outside of its range.
        """
        known = (*stems, MASTER)
        for target, settings in self.targets.items():
            if target not in known:
                raise UnknownTargetError(target, known)
            check_settings(target, settings)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns plain JSON types, without what is neutral."""
        return {target: _plain(settings.changed()) for target, settings in self.targets.items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Mapping[str, Any]]) -> Mix:
        """Reads what `to_dict` wrote. Raises MixError for a document of another shape."""
        try:
            return cls({target: _settings(values) for target, values in document.items()})
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise MixError(f"not a mix: {error}") from error

    def canonical_json(self) -> str:
        """Returns the one JSON text of this mix: sorted keys, nothing neutral, no spaces."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in values.items() if value is not None}


def _plain_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain_value(element) for element in value]
    if isinstance(value, TargetSettings):
        return _plain(value.changed())
    if is_dataclass(value):
        return _plain(vars(value))
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _settings(values: Mapping[str, Any]) -> TargetSettings:
    known = dict(values)
    eq = tuple(EqBand(**band) for band in known.pop("eq", ()))
    filters = tuple(Filter(**item) for item in known.pop("filters", ()))
    passages = tuple(_passage(dict(item)) for item in known.pop("passages", ()))
    return TargetSettings(**known, eq=eq, filters=filters, passages=passages)


def _passage(values: dict[str, Any]) -> Passage:
    settings = _settings(values.pop("settings"))
    return Passage(**{"end_s": None, **values}, settings=settings)
