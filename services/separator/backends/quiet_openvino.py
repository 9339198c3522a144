"""OpenVINO, kept from reporting its use to its makers.

Its converter does that wherever the package `openvino_telemetry` can be imported, and has no
switch; where it cannot be, a stand-in that does nothing takes its place. Import OpenVINO from here
only.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402 - after the line above, which it obeys as it is imported

__all__ = ["openvino"]
