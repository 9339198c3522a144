"""What changed from one mix to another, in words with the real numbers."""

from __future__ import annotations

from collections.abc import Iterable

from mixdown.mix import MASTER, EqBand, Filter, Mix, Passage, TargetSettings, passage_at


def changes_between(before: Mix, after: Mix) -> Iterable[str]:
    """Yields a phrase for each setting that changed, with its new value."""
    for target in sorted({*before.targets, *after.targets}, key=_order):
        old, new = before[target], after[target]
        if new.is_neutral and not old.is_neutral:
            yield _cleared(target, old)
            continue
        yield from _setting_changes(target, old, new)
        yield from _passage_changes(target, old, new)


def _setting_changes(target: str, old: TargetSettings, new: TargetSettings) -> Iterable[str]:
    yield from _number_changes(target, old, new)
    yield from _coloring_changes(target, old, new)
    yield from _band_changes(target, old, new)


def _passage_changes(target: str, old: TargetSettings, new: TargetSettings) -> Iterable[str]:
    if new.passages == old.passages:
        return
    for passage in new.passages:
        if passage in old.passages:
            continue
        at = passage_at(old, passage.start_s)
        before = at.settings if at else old.outside
        for change in _setting_changes(target, before, passage.settings):
            yield f"{change} {when(passage)}"
    if not new.passages:
        yield f"{name(target)} the same all the way through"


def when(passage: Passage) -> str:
    """Writes a stretch of time: "from 1:10 to 1:25", "until 0:30", "from 2:00 on"."""
    if passage.end_s is None:
        return f"from {clock(passage.start_s)} on"
    if passage.start_s == 0:
        return f"until {clock(passage.end_s)}"
    return f"from {clock(passage.start_s)} to {clock(passage.end_s)}"


def clock(seconds: float) -> str:
    """Writes a time of the track: "1:10", "0:04.5"."""
    minutes, rest = divmod(round(seconds, 2), 60)
    text = f"{rest:05.2f}".rstrip("0").rstrip(".")
    return f"{minutes:.0f}:{text}"


def _coloring_changes(target: str, old: TargetSettings, new: TargetSettings) -> Iterable[str]:
    label = name(target)
    for effect in ("echo", "chorus", "distortion"):
        before, after = getattr(old, effect), getattr(new, effect)
        if before != after:
            way = "up to" if after > before else "down to"
            yield f"{effect} on the {label} {way} {after:.3g}"
    if old.echo_time_ms != new.echo_time_ms:
        yield f"{new.echo_time_ms:.4g} ms between the echoes on the {label}"
    if old.echo_feedback != new.echo_feedback:
        repeats = "single echoes" if new.echo_feedback == 0 else f"feedback {new.echo_feedback:.3g}"
        yield f"{repeats} on the {label}"
    if old.width != new.width:
        yield f"{label} in mono" if new.width == 0 else f"{label} {new.width:.0%} wide"
    for setting, way in (("fade_in_s", "in"), ("fade_out_s", "out")):
        seconds = getattr(new, setting)
        if getattr(old, setting) != seconds:
            yield (
                f"{label} fading {way} over {seconds:.3g} s"
                if seconds
                else f"no fade {way} of the {label}"
            )


def _cleared(target: str, old: TargetSettings) -> str:
    if set(old.changed()) == {"muted"}:
        return f"{name(target)} back on"
    if set(old.changed()) == {"reverb"}:
        return f"{name(target)} dry again"
    if set(old.changed()) == {"pan"}:
        return f"{name(target)} in the centre"
    return f"{name(target)} back to the original"


def _number_changes(target: str, old: TargetSettings, new: TargetSettings) -> Iterable[str]:
    label = name(target)
    if old.gain_db != new.gain_db:
        step = new.gain_db - old.gain_db
        now = f" (now {_signed(new.gain_db)})" if old.gain_db else ""
        yield f"{label} {'up' if step > 0 else 'down'} {abs(step):.3g} dB{now}"
    if old.muted != new.muted:
        yield f"{label} {'muted' if new.muted else 'back on'}"
    if old.pan != new.pan:
        side = "left" if new.pan < 0 else "right"
        yield (f"{label} {abs(new.pan):.0%} {side}" if new.pan else f"{label} in the centre")
    if old.reverb != new.reverb:
        way = "up to" if new.reverb > old.reverb else "down to"
        yield f"reverb on the {label} {way} {new.reverb:.3g}"
    if old.pitch_semitones != new.pitch_semitones:
        step = new.pitch_semitones - old.pitch_semitones
        now = f" (now {_signed(new.pitch_semitones)})" if old.pitch_semitones else ""
        unit = "semitone" if abs(step) == 1 else "semitones"
        yield f"{label} pitched {'up' if step > 0 else 'down'} {abs(step):.3g} {unit}{now}"
    if old.compression != new.compression:
        level = "no" if new.compression == "none" else new.compression
        yield f"{level} compression on the {label}"


def _signed(value: float) -> str:
    return f"{value:+.3g}" if value else "0"


def _band_changes(target: str, old: TargetSettings, new: TargetSettings) -> Iterable[str]:
    label = name(target)
    if old.eq and not new.eq:
        yield f"EQ off the {label}"
    for band in new.eq:
        if band not in old.eq:
            yield f"{band.gain_db:+.3g} dB {_place(band)} on the {label}"
    for item in new.filters:
        if item not in old.filters:
            yield f"{_filter(item)} on the {label}"
    gone = {item.type for item in old.filters} - {item.type for item in new.filters}
    for kind in sorted(gone):
        yield f"{kind[:-4]}-pass off the {label}"


def _place(band: EqBand) -> str:
    where = {"peak": "at", "low_shelf": "below", "high_shelf": "above"}[band.type]
    return f"{where} {frequency(band.frequency_hz)}"


def _filter(item: Filter) -> str:
    if item.type == "bandpass":
        assert item.low_hz is not None and item.high_hz is not None
        return f"band-pass from {frequency(item.low_hz)} to {frequency(item.high_hz)}"
    assert item.cutoff_hz is not None
    return f"{item.type[:-4]}-pass at {frequency(item.cutoff_hz)}"


def frequency(hertz: float) -> str:
    """Writes a frequency: "250 Hz", "3.5 kHz"."""
    return f"{hertz / 1000:.3g} kHz" if hertz >= 1000 else f"{hertz:.3g} Hz"


def _order(target: str) -> tuple[int, str]:
    known = ("vocals", "drums", "bass", "other", "guitar", "piano", MASTER)
    return (known.index(target) if target in known else len(known), target)


def name(target: str) -> str:
    """Writes a target: "vocals", "whole mix"."""
    return {MASTER: "whole mix", "other": "other stem"}.get(target, target)
