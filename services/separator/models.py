"""A model in memory: one network, or several whose outputs are averaged (Demucs' "bag")."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt
from demucs.apply import BagOfModels, Model
from demucs.htdemucs import HTDemucs


@dataclass(frozen=True)
class Member:
    """One network of a model.

    Args:
        network: Takes `[batch, channels, frames]`, gives `[batch, stems, channels, frames]`.
        segment_frames: Frames that it is given at a time.
        shares: How much of each stem comes from this network; over a model's members the shares
            of a stem add up to 1.
    """

    network: Model = field(repr=False)
    segment_frames: int
    shares: tuple[float, ...]

    def input_frames(self, frames: int) -> int:
        """Returns how many frames the network wants where `frames` are to come out of it.

        As `demucs.apply.apply_model` does: a network with a fixed training length gets that; one
        without any rule gets just what there is.
        """
        rule = getattr(self.network, "valid_length", None)
        return int(rule(frames)) if rule is not None else frames

    @property
    def transformer(self) -> HTDemucs | None:
        """The network where it is a Hybrid Transformer Demucs with inputs of one fixed length."""
        fixed = isinstance(self.network, HTDemucs) and self.network.use_train_segment
        return cast("HTDemucs", self.network) if fixed else None


@dataclass(frozen=True)
class SeparationModel:
    """A model, ready to be given to a backend.

    Args:
        name: Its name in the registry.
        stems: What it gives, in order.
        sample_rate_hz: Rate of its input and of the stems.
        channels: Channels of its input and of the stems.
        members: Its networks.
        weights_sha256: SHA-256 of all weights in float32, whatever file they came in.
        weights_bytes: Size of the weights in float32.
    """

    name: str
    stems: tuple[str, ...]
    sample_rate_hz: int
    channels: int
    members: tuple[Member, ...]
    weights_sha256: str
    weights_bytes: int

    def members_for(self, stems: Collection[str]) -> tuple[int, ...]:
        """Returns which members are needed for `stems`: those with a share in one of them."""
        wanted = [self.stems.index(stem) for stem in stems]
        return tuple(
            index
            for index, member in enumerate(self.members)
            if any(member.shares[stem] for stem in wanted)
        )

    def stems_of(self, members: Collection[int]) -> tuple[str, ...]:
        """Returns the stems that are complete when only `members` are run."""
        return tuple(
            stem
            for position, stem in enumerate(self.stems)
            if all(
                index in members or not member.shares[position]
                for index, member in enumerate(self.members)
            )
        )


def describe_model(name: str, network: Model | BagOfModels) -> SeparationModel:
    """Returns the model `name` made of what Demucs loaded: a network or a `BagOfModels`."""
    networks: list[Model] = (
        [cast("Model", part) for part in network.models]
        if isinstance(network, BagOfModels)
        else [network]
    )
    weights = network.weights if isinstance(network, BagOfModels) else None
    first = networks[0]
    table = np.asarray(weights if weights is not None else [[1.0] * len(first.sources)], np.float64)
    shares = table / table.sum(axis=0)
    members = tuple(
        Member(
            network=part.eval().requires_grad_(requires_grad=False),
            segment_frames=int(part.samplerate * part.segment),
            shares=tuple(float(share) for share in row),
        )
        for part, row in zip(networks, shares, strict=True)
    )
    digest, size = _hash_weights(members)
    return SeparationModel(
        name=name,
        stems=tuple(first.sources),
        sample_rate_hz=int(first.samplerate),
        channels=int(first.audio_channels),
        members=members,
        weights_sha256=digest,
        weights_bytes=size,
    )


def _hash_weights(members: tuple[Member, ...]) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    for member in members:
        digest.update(f"{type(member.network).__name__} {member.shares}\n".encode())
        for name, value in sorted(member.network.state_dict().items()):
            array: npt.NDArray[np.float32] = value.detach().cpu().float().contiguous().numpy()
            digest.update(f"{name} {array.shape}\n".encode())
            digest.update(array.data)
            size += array.nbytes
    return digest.hexdigest(), size
