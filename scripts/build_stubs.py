"""Generates the Python stubs of the contracts into the `mixdown` package.

`protos/mixdown/<service>/v1/<name>.proto` becomes `mixdown/<service>/v1/<name>_pb2.py` and
`<name>_pb2_grpc.py`, each with its `.pyi`, so that the proto package is the import path. They are
never committed: this file is the build hook of `pyproject.toml`, and `make stubs` runs it alone.
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
    """Generates every stub below `root`. Raises RuntimeError where protoc rejects a contract."""
    protos = sorted((root / "protos").glob("mixdown/*/v1/*.proto"))
    for folder in {proto.parent.relative_to(root / "protos") for proto in protos}:
        shutil.rmtree(root / folder, ignore_errors=True)
    plugins = [
        f"--plugin={plugin}={_find(plugin)}"
        for plugin in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    code = protoc.main(
        [
            "protoc",
            f"--proto_path={root / 'protos'}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            *plugins,
            f"--python_out={root}",
            f"--grpc_python_out={root}",
            f"--mypy_out={root}",
            f"--mypy_grpc_out={root}",
            *(str(proto) for proto in protos),
        ]
    )
    if code != 0:
        raise RuntimeError(f"protoc failed with exit status {code}")
    for proto in protos:
        (root / proto.parent.relative_to(root / "protos") / "__init__.py").touch()


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
