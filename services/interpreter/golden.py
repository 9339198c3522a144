"""Golden cases: what a prompt is expected to mean, read from JSON and compared with an outcome."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mixdown.mix import EqBand, Mix
from services.interpreter.edits import difference
from services.interpreter.intent import (
    FOUR_STEMS,
    Clarification,
    Context,
    Exchange,
    History,
    Intent,
    Interpretation,
    Proposal,
    Remix,
    Separation,
)

Outcome = dict[str, Any]

REGIONS_HZ: Mapping[str, tuple[float, float]] = {
    "<250": (40.0, 250.0),
    "1000-4000": (1000.0, 4000.0),
    "4000-8000": (4000.0, 8000.0),
    ">8000": (8000.0, 16_000.0),
}
_SAMPLE_RATE_HZ = 44_100.0


@dataclass(frozen=True)
class Case:
    """One golden case."""

    identifier: str
    prompt: str
    context: Context
    expect: tuple[Outcome, ...]

    @property
    def category(self) -> str:
        """The part of the identifier before its number: "vol" of "vol-001"."""
        return self.identifier.rsplit("-", maxsplit=1)[0]


def case_from(document: Mapping[str, Any]) -> Case:
    """Reads a case. Raises KeyError, MixError or ValueError for one of another shape."""
    return Case(
        document["id"],
        document["prompt"],
        context_from(document.get("context") or {}),
        tuple(document["expect"]),
    )


def context_from(document: Mapping[str, Any]) -> Context:
    """Reads a context."""
    mix = _mix(document.get("mix") or {})
    history = tuple(
        Exchange(
            turn["prompt"],
            turn["type"],
            tuple(turn.get("targets", ())),
            turn.get("reply", ""),
        )
        for turn in document.get("history") or ()
    )
    proposed = document.get("proposal")
    return Context(
        mix=mix,
        history=history,
        proposal=_proposal(proposed, mix) if proposed else None,
        stems=tuple(document.get("stems") or FOUR_STEMS),
        track_seconds=document.get("track_seconds"),
    )


def _mix(document: Mapping[str, Any]) -> Mix:
    return Mix.from_dict(document)


def _proposal(document: Mapping[str, Any], mix: Mix) -> Proposal:
    if document["type"] == "separation":
        stems, without = document.get("stems", ()), document.get("without", ())
        return Proposal(Separation(tuple(stems), tuple(without)), mix)
    after = _mix(document.get("mix") or {})
    return Proposal(Remix(difference(mix, after), tuple(document.get("outputs", ()))), after)


# --- Outcomes ------------------------------------------------------------------------------------


def outcome_of(interpretation: Interpretation) -> Outcome:
    """Writes what was understood in the shape of an expectation, with concrete values."""
    outcome = intent_document(interpretation.intent, interpretation.mix)
    if isinstance(interpretation.intent, Clarification) and interpretation.proposal:
        proposal = interpretation.proposal
        outcome["proposal"] = intent_document(proposal.intent, proposal.mix)
    return outcome


def intent_document(intent: Intent, mix: Mix) -> Outcome:
    """Writes an intent in the shape of an expectation."""
    match intent:
        case Separation(stems, without):
            return {"type": "separation", "stems": list(stems), "without": list(without)}
        case Remix(_, outputs):
            found: Outcome = {"type": "remix", "mix": mix.to_dict()}
            return found | {"outputs": list(outputs)} if outputs else found
        case Clarification(reason):
            return {"type": "clarification", "reason": reason}
        case History(action, steps, target):
            found = {"type": "history", "action": action, "mix": mix.to_dict()}
            if target:
                found["target"] = target
            return found | {"steps": steps} if steps > 1 else found


# --- Comparison ----------------------------------------------------------------------------------


def mismatch(outcome: Outcome, expected: Iterable[Outcome], before: Mix) -> str:
    """Returns why an outcome meets none of the expectations; "" where it meets one."""
    reasons = [_difference(outcome, item, before) for item in expected]
    return "" if any(not reason for reason in reasons) else " | ".join(reasons)


def _difference(outcome: Outcome, expected: Outcome, before: Mix) -> str:
    kind = expected["type"]
    if kind == "history" and expected["action"] == "reset" and outcome["type"] == "remix":
        target = expected.get("target")
        kept = {t: v for t, v in before.to_dict().items() if target and t != target}
        return "" if outcome["mix"] == kept else "the reset left something"
    if outcome["type"] != kind:
        return f"{outcome['type']} instead of {kind}"
    compare = {
        "separation": _separation_difference,
        "remix": _remix_difference,
        "clarification": _clarification_difference,
        "history": _history_difference,
    }[kind]
    return compare(outcome, expected, before)


def _separation_difference(outcome: Outcome, expected: Outcome, before: Mix) -> str:
    del before
    for key in ("stems", "without"):
        if set(outcome.get(key, ())) != set(expected.get(key, ())):
            return f"{key} are {sorted(outcome.get(key, ()))}, not {sorted(expected.get(key, ()))}"
    return ""


def _clarification_difference(outcome: Outcome, expected: Outcome, before: Mix) -> str:
    reasons = expected["reason"]
    allowed = [reasons] if isinstance(reasons, str) else reasons
    if outcome["reason"] not in allowed:
        return f"reason is {outcome['reason']}, not {' or '.join(allowed)}"
    if "proposal" in expected:
        if "proposal" not in outcome:
            return "nothing is proposed"
        why = _difference(outcome["proposal"], expected["proposal"], before)
        return f"proposal: {why}" if why else ""
    return ""


def _history_difference(outcome: Outcome, expected: Outcome, before: Mix) -> str:
    del before
    for key, default in (("action", None), ("target", None), ("steps", 1)):
        if key == "steps" and key not in expected:
            continue
        if outcome.get(key, default) != expected.get(key, default):
            return f"{key} is {outcome.get(key, default)}, not {expected.get(key, default)}"
    return ""


def _remix_difference(outcome: Outcome, expected: Outcome, before: Mix) -> str:
    if set(outcome.get("outputs", ())) != set(expected.get("outputs", ())):
        return f"outputs are {outcome.get('outputs', [])}, not {expected.get('outputs', [])}"
    found, wanted = outcome["mix"], expected.get("mix") or {}
    for target in sorted({*found, *wanted}):
        why = _target_difference(found.get(target, {}), wanted.get(target, {}), target, before)
        if why:
            return why
    return ""


def _target_difference(
    found: Mapping[str, Any], wanted: Mapping[str, Any], target: str, before: Mix
) -> str:
    keys = {*found, *wanted} - ({"eq", "tone"} if "tone" in wanted else set())
    for key in sorted(keys):
        if key not in found:
            return f"{target}.{key} is neutral, not {wanted[key]}"
        if key not in wanted:
            return f"{target}.{key} is {found[key]}, but should be neutral"
        if not _equal(found[key], wanted[key], key):
            return f"{target}.{key} is {found[key]}, not {wanted[key]}"
    if "tone" in wanted:
        return _tone_difference(found.get("eq", ()), wanted["tone"], target, before)
    return ""


def _equal(found: Any, wanted: Any, key: str) -> bool:
    if key in {"eq", "filters"}:
        return _same_bands(list(found), list(wanted))
    if key == "passages":
        return _same_passages(list(found), list(wanted))
    if isinstance(wanted, list):
        return bool(wanted[0] - 1e-9 <= found <= wanted[1] + 1e-9)
    if isinstance(wanted, bool | str):
        return bool(found == wanted)
    return bool(abs(found - wanted) <= max(0.02, 0.02 * abs(wanted)))


def _same_bands(found: list[Mapping[str, Any]], wanted: list[Mapping[str, Any]]) -> bool:
    if len(found) != len(wanted):
        return False
    if not wanted:
        return True
    first, *others = wanted
    for index, band in enumerate(found):
        matches = all(key in band and _equal(band[key], value, "") for key, value in first.items())
        if matches and _same_bands(found[:index] + found[index + 1 :], others):
            return True
    return False


def _same_passages(found: list[Mapping[str, Any]], wanted: list[Mapping[str, Any]]) -> bool:
    if len(found) != len(wanted):
        return False
    return all(
        _equal(one["start_s"], other["start_s"], "start_s")
        and _same_end(one.get("end_s"), other.get("end_s"))
        and not _target_difference(one["settings"], other["settings"], "", Mix())
        for one, other in zip(found, wanted, strict=True)
    )


def _same_end(found: float | None, wanted: Any) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return _equal(found, wanted, "end_s")


def _tone_difference(
    found: Iterable[Mapping[str, Any]], wanted: Mapping[str, str], target: str, before: Mix
) -> str:
    after = [EqBand(**band) for band in found]
    for region, sign in wanted.items():
        change = mean_gain_db(after, region) - mean_gain_db(before[target].eq, region)
        if abs(change) < 0.05 or (change > 0) != (sign == "+"):
            return f"{target} changes by {change:+.2f} dB in {region} Hz, not {sign}"
    return ""


def mean_gain_db(bands: Iterable[EqBand], region: str) -> float:
    """Returns the mean gain of bands over a region, on a logarithmic frequency axis."""
    low_hz, high_hz = REGIONS_HZ[region]
    points = [low_hz * (high_hz / low_hz) ** (index / 31) for index in range(32)]
    bands = list(bands)
    return sum(sum(band_gain_db(band, hz) for band in bands) for hz in points) / len(points)


def band_gain_db(band: EqBand, frequency_hz: float) -> float:
    """Returns a band's gain at a frequency (Audio EQ Cookbook, R. Bristow-Johnson)."""
    amplitude = 10 ** (band.gain_db / 40)
    omega = 2 * math.pi * min(band.frequency_hz, 0.49 * _SAMPLE_RATE_HZ) / _SAMPLE_RATE_HZ
    cosine, alpha = math.cos(omega), math.sin(omega) / (2 * band.q)
    if band.type == "peak":
        above = (1 + alpha * amplitude, -2 * cosine, 1 - alpha * amplitude)
        below = (1 + alpha / amplitude, -2 * cosine, 1 - alpha / amplitude)
    else:
        above, below = _shelf(band, amplitude, cosine, alpha)
    z = cmath.exp(-2j * math.pi * frequency_hz / _SAMPLE_RATE_HZ)
    response = _polynomial(above, z) / _polynomial(below, z)
    return 20 * math.log10(abs(response))


def _shelf(
    band: EqBand, amplitude: float, cosine: float, alpha: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    # The high shelf is the low shelf with the sign of the cosine turned.
    sign = 1 if band.type == "low_shelf" else -1
    root, turned = 2 * math.sqrt(amplitude) * alpha, sign * cosine
    up, down = amplitude + 1, amplitude - 1
    above = (
        amplitude * (up - down * turned + root),
        sign * 2 * amplitude * (down - up * turned),
        amplitude * (up - down * turned - root),
    )
    below = (up + down * turned + root, sign * -2 * (down + up * turned), up + down * turned - root)
    return above, below


def _polynomial(coefficients: tuple[float, float, float], z: complex) -> complex:
    first, second, third = coefficients
    return first + second * z + third * z * z
