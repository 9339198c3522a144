"""Turns without words: what is given as data, said as an interpreter would say it."""

from __future__ import annotations

from collections.abc import Sequence

from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.mix.v1 import intent_pb2, mix_pb2


def remix(mix: mix_pb2.Mix, outputs: Sequence[mix_pb2.Output]) -> interpreter_pb2.Interpretation:
    """Returns what a mix given as data means: a remix, of which nothing had to be understood."""
    stems = [output.stems[0] for output in outputs if output.kind == mix_pb2.Output.KIND_STEM]
    return interpreter_pb2.Interpretation(
        intent=intent_pb2.Intent(remix=intent_pb2.Remix(outputs=stems)),
        mix=mix,
        outputs=outputs,
        targets=sorted(mix.targets),
        confidence=1.0,
    )


def separation(
    stems: Sequence[str], without: Sequence[str], outputs: Sequence[mix_pb2.Output]
) -> interpreter_pb2.Interpretation:
    """Returns what stems given as data mean: a separation, which leaves the mix as it is."""
    return interpreter_pb2.Interpretation(
        intent=intent_pb2.Intent(separation=intent_pb2.Separation(stems=stems, without=without)),
        outputs=outputs,
        targets=sorted({*stems, *without}),
        confidence=1.0,
    )
