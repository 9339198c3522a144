#!/usr/bin/env bash
# Writes requirements.lock: the exact versions that `make setup` installs.
set -euo pipefail
cd "$(dirname "$0")/.."
pip-compile --quiet --all-extras --strip-extras --upgrade --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
  --output-file requirements.lock pyproject.toml
# A local label such as "+cpu" names one build of a version; the lock pins the version.
sed -i -E 's/^([A-Za-z0-9_.-]+==[^+ ]+)\+[A-Za-z0-9.]+/\1/' requirements.lock
# We are not installed from a path of the machine that wrote the lock.
sed -i "/^mixdown @ /d" requirements.lock
