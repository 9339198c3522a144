"""Replies: one or two sentences with the real numbers, as a helpful sound engineer would speak."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mixdown.mix import Mix, TargetSettings
from services.interpreter.changes import changes_between, name
from services.interpreter.intent import (
    ClarificationReason,
    Context,
    History,
    Limitation,
    Proposal,
    Remix,
    Separation,
)

_CANNOT: Mapping[str, str] = {
    "autotune": "I can't correct the tuning of a voice, but I can shift its pitch by semitones.",
    "tempo": "I can't change the tempo; pitch, level, effects and stems I can.",
    "transcription": "I can't write down lyrics or notes, but I can isolate the part for you.",
    "MIDI": "I can't turn audio into MIDI, but I can isolate the stem for a tool that does.",
    "mastering": "I don't master, but I can compress the whole mix, shape its EQ or set its level.",
    "naming and sharing files": "I can't name, tag or share files, but I can hand out the song and "
    "its stems.",
    "loudness target": "I don't aim at loudness targets; tell me how many dB up or down instead.",
    "key detection or setting a key": "I can't aim at a key, but I can shift the pitch: how many "
    "semitones up or down?",
    "generating music": "I only work with what is in the track; I can bring out a part or mute it.",
    "recorded echo": "I can't take out an echo that is in the recording, only reverb set here.",
    "echo in time with the beat": "I don't know the tempo, but I can set the time between echoes: "
    "how many milliseconds?",
    "lo-fi sounds": "I have no lo-fi effects; distortion or a telephone filter gets rough, too.",
    "chorus or modulation effects": "I have no such effect; chorus, echo, pitch shifting and "
    "filters I have.",
    "gating or side-chaining": "I have no gate, limiter or side-chain; light, medium or heavy "
    "compression I have.",
    "de-essing": "I have no de-esser, but I can make it less sibilant with the EQ.",
    "noise reduction": "I can't remove noise, but a high-pass takes out rumble, a low-pass hiss.",
    "phase and surround": "I can't do that, but I can make it wider, narrower or mono, "
    "and pan stems.",
    "cutting and arranging": "I can't cut or rearrange; I can fade in and out and mute a passage.",
    "editing only a section": "I don't know where that part of the song is. Tell me the times, "
    "such as “from 1:10 to 1:25”.",
    "other recordings": "I can only work with the track of this session.",
    "analysing the track": "I don't analyse the track; tell me what you would like to change.",
}


def done(
    intent: Separation | Remix, before: Mix, after: Mix, limitations: Sequence[Limitation]
) -> str:
    """Tells what was done, and what was not."""
    if isinstance(intent, Separation):
        sentence = _handed_out(intent)
    else:
        changes = list(changes_between(before, after))
        sentence = _joined(changes) if changes else ""
        if intent.outputs:
            handed = f"here {_are(intent.outputs)} {_names(intent.outputs)}"
            sentence = f"{sentence}; {handed}" if sentence else handed
        if not sentence:
            sentence = (
                "Nothing changes: the mix already is like that"
                if intent.edits
                else "here is the mix as it is now"
            )
    return _sentences([sentence, *(item.text for item in limitations)])


def ask_whether(words: str, intent: Separation | Remix, before: Mix, after: Mix) -> str:
    """Asks whether words that may only tell something ask for what was found in them."""
    if isinstance(intent, Separation):
        found = f"give you {_files(intent)}"
    else:
        changes = _joined(list(changes_between(before, after)))
        given = f"give you {_names(intent.outputs)}" if intent.outputs else ""
        found = f"do this: {changes}" if changes else given or "give you the mix"
    return f"I'm not sure whether “{words[:80]}” is a wish. Shall I {found}?"


def _files(intent: Separation) -> str:
    parts = [_names(intent.stems)] if intent.stems else []
    if intent.without:
        parts.append(f"the song without {_names(intent.without)}")
    return " and ".join(parts)


def _handed_out(intent: Separation) -> str:
    parts: list[str] = []
    if intent.stems:
        parts.append(f"here {_are(intent.stems)} {_names(intent.stems)}")
    if intent.without:
        parts.append(f"here is the song without {_names(intent.without)}")
    return ", and ".join(parts)


def _are(stems: Sequence[str]) -> str:
    plural = len(stems) > 1 or stems[0] in {"vocals", "drums"}
    return "are" if plural else "is"


def _names(stems: Sequence[str]) -> str:
    names = [f"the {name(stem)}" for stem in stems]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _joined(phrases: Sequence[str]) -> str:
    return ", ".join(phrases)


def _sentences(parts: Iterable[str]) -> str:
    written: list[str] = []
    for part in parts:
        text = part.strip()
        if text:
            text = text[0].upper() + text[1:]
            written.append(text if text[-1] in ".?!" else text + ".")
    return " ".join(written)


# --- What is not done ----------------------------------------------------------------------------


def cannot_do(operation: str) -> str:
    """Tells that an operation does not exist, and what does."""
    return _CANNOT[operation]


def held(instrument: str, stem: str, proposal: Proposal | None, context: Context) -> str:
    """Tells which stem holds an instrument, and proposes it."""
    are = "they are" if instrument.endswith("s") else "it is"
    told = f"I can't get at the {instrument} alone: {are} part of the {_stem(stem)}."
    if proposal is None:
        return told
    intent = proposal.intent
    if isinstance(intent, Separation):
        if intent.stems:
            return f"{told} Shall I give you the {_stem(intent.stems[0])}?"
        return f"{told} Shall I give you the song without the {_stem(intent.without[0])}?"
    changes = _joined(list(changes_between(context.mix, proposal.mix)))
    return f"{told} Shall I change that one instead ({changes})?"


def held_aside(instruments: str, stem: str) -> str:
    """Tells that a part about an instrument was left out."""
    return (
        f"the {instruments} can't be changed alone, being part of the {_stem(stem)}; "
        "say yes to do it there"
    )


def _stem(stem: str) -> str:
    return f"{stem} stem"


def ask_what() -> str:
    """Asks what to do."""
    return (
        "What should I change? For example: vocals louder, reverb on the drums, or only the bass."
    )


def ask_about(stems: Sequence[str]) -> str:
    """Asks what to do with parts that were only spoken of."""
    return f"Should I do something with {_names(stems)}: louder, quieter, an effect, or out?"


def ask_after_state(stems: Sequence[str], mix: Mix) -> str:
    """Tells what is set where somebody asks about the song, and asks whether to change it."""
    asked = stems or mix.targets
    original = mix
    for target in asked:
        original = original.with_target(target, TargetSettings())
    changes = _joined(list(changes_between(original, mix)))
    where = _names(stems) if stems else "the song"
    told = f"Set so far: {changes}" if changes else f"Nothing is changed on {where} so far"
    return f"{told}. I can't judge by ear, so tell me: louder, quieter, an effect?"


def praised(stems: Sequence[str]) -> str:
    """Answers praise."""
    kept = f", I leave {_names(stems)} alone" if stems else ""
    return f"Glad to hear it{kept}. What shall I do next: a stem, a level, an effect?"


def one_version() -> str:
    """Asks for one version where several are wanted at once."""
    return "I make one version at a time. Which of them first?"


def one_at_a_time() -> str:
    """Asks which is meant where a prompt changes the mix and takes back or restores at once."""
    return "That changes the mix and takes a change back at once. Which of the two should I do?"


def ask_once(target: str) -> str:
    """Asks which of two changes of the same thing is meant."""
    return f"That changes the {name(target)} twice the same way. Which of the two, or both?"


def mute_or_keep(targets: Sequence[str]) -> str:
    """Asks whether parts that are to stay and to be muted should be muted."""
    return f"Should {_names(targets)} be muted, or stay?"


def out_or_changed(targets: Iterable[str]) -> str:
    """Asks whether stems are to be left out, or only changed."""
    return f"Should the {' and '.join(sorted(targets))} be left out, or only changed?"


def not_understood(words: str) -> str:
    """Asks about words that were not understood."""
    return (
        f"I'm not sure what you mean by “{words[:80]}”. Is it about a level, an effect, or a stem?"
    )


def unknown_wish(word: str, stems: Sequence[str]) -> str:
    """Asks what a word means for parts of the song."""
    where = _names(stems) if stems else "the song"
    return f"I don't know what “{word[:40]}” means for {where}: louder, brighter, an effect?"


def unknown_part(word: str) -> str:
    """Asks which part of the song a word means."""
    return f"I don't know which part of the song “{word[:40]}” is. Vocals, drums, bass or other?"


def left_alone(targets: Sequence[str]) -> str:
    """Confirms that nothing was touched."""
    about = _names(list(targets)) if targets else "that"
    are = "they are" if targets and _are(list(targets)) == "are" else "it is"
    return f"I leave {about} as {are}. What should I change instead?"


def back_to_track() -> str:
    """Leads back to the track."""
    return "That's beyond my desk, I only do audio. What shall we do with the track?"


def only_english() -> str:
    """Tells that this engine speaks English."""
    return "Sorry, I only understand English here. Could you say it in English?"


def declined() -> str:
    """Takes a no."""
    return "All right, I leave it as it is. What next?"


def how_much_instead() -> str:
    """Asks by how much, where a proposal is taken with another amount that is not clear."""
    return "Gladly, but by how many dB then?"


def nothing_proposed() -> str:
    """Answers a yes to nothing."""
    return "Yes to what? Tell me what to change: a stem, its level, or an effect."


def talk(reason: ClarificationReason, context: Context) -> str:
    """Answers small talk and questions about what can be done."""
    if reason == "greeting":
        return "Happy to help. Tell me what to do with the track: a stem, a level, an effect."
    if reason == "help":
        stems = ", ".join(context.stems)
        return (
            f"I can hand out stems ({stems}) or the song without them, and change level, pan, "
            "reverb, "
            "pitch, compression, EQ and filters of each stem or the whole mix. "
            "Try “vocals louder and a bit of reverb on the drums”, or “undo”."
        )
    return ask_what()


def reset(intent: History) -> str:
    """Tells what was reset."""
    where = f"The {name(intent.target)}" if intent.target else "Everything"
    verb = "are" if intent.target in {"vocals", "drums"} else "is"
    return f"{where} {verb} back to the original."


def moved(intent: History, before: Mix, after: Mix, known: tuple[Mix, ...] | None) -> str:
    """Tells what was undone or redone."""
    if known is not None and not known:
        return f"There is nothing to {intent.action}."
    verb = "Undone" if intent.action == "undo" else "Redone"
    changes = _joined(list(changes_between(before, after)))
    told = f"{verb}: {changes}." if changes else f"{verb}."
    if known is not None and intent.steps > len(known):
        told += (
            f" There was no more than {len(known)} to go back." if intent.action == "undo" else ""
        )
    return told
