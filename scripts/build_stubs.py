"""Generates the Python stubs of the contracts into the `mixdown` package.

`protos/mixdown/<service>/v1/<name>.proto` becomes `mixdown/<service>/v1/<name>_pb2.py` and
`<name>_pb2_grpc.py`, each with its `.pyi`, so that the proto package is the import path. They are
never committed: this file is the build hook of `pyproject.toml`, and `make stubs` runs it alone.
The gateway's contract is written as descriptors too, `mixdown/gateway/v1/gateway.binpb`, for Envoy.
"""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent


def build_stubs(root: Path = ROOT) -> None:
    """Generates all of it below `root`. Raises RuntimeError where protoc rejects a contract."""
    protos = sorted((root / "protos").glob("mixdown/*/v1/*.proto"))
    for folder in {proto.parent.relative_to(root / "protos") for proto in protos}:
        shutil.rmtree(root / folder, ignore_errors=True)
    plugins = [
        f"--plugin={plugin}={_find(plugin)}"
        for plugin in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    _compile(
        root,
        [
            *plugins,
            f"--python_out={root}",
            f"--grpc_python_out={root}",
            f"--mypy_out={root}",
            f"--mypy_grpc_out={root}",
            *(str(proto) for proto in protos),
        ],
    )
    for proto in protos:
        (root / proto.parent.relative_to(root / "protos") / "__init__.py").touch()
    describe(root / "mixdown" / "gateway" / "v1" / "gateway.binpb", root)


def describe(target: Path, root: Path = ROOT, *options: str) -> None:
    """Writes the gateway's contract, with all that it needs, as a FileDescriptorSet.

    Envoy translates JSON by it, and the details of errors too.
    """
    gateway = root / "protos" / "mixdown" / "gateway" / "v1" / "gateway.proto"
    details = root / "third_party" / "googleapis" / "google" / "rpc" / "error_details.proto"
    _compile(
        root,
        [
            "--include_imports",
            f"--descriptor_set_out={target}",
            *options,
            str(gateway),
            str(details),
        ],
    )


def _compile(root: Path, arguments: list[str]) -> None:
    paths = (root / "protos", root / "third_party" / "googleapis", files("grpc_tools") / "_proto")
    code = protoc.main(["protoc", *(f"--proto_path={path}" for path in paths), *arguments])
    if code != 0:
        raise RuntimeError(f"protoc failed with exit status {code}")


def _find(program: str) -> str:
    # Beside the interpreter first: the virtual environment need not be on the PATH.
    beside = shutil.which(program, path=str(Path(sys.executable).parent))
    found = beside or shutil.which(program)
    if found is None:
        raise RuntimeError(f"{program} is not installed")
    return found


class StubsBuildHook(BuildHookInterface[Any]):
    """Runs `build_stubs` whenever the package is built or installed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generates the stubs before files are collected."""
        build_stubs(Path(self.root))


if __name__ == "__main__":
    build_stubs()
