#!/usr/bin/env bash
# Writes deploy/images/locks/: what each image installs, at the versions of requirements.lock, with
# the hash of every wheel. Run by `make lock`; alone after a change of dependencies.
#
# The lock of `separator` takes PyTorch's CPU build, which is not on PyPI: say where it is by
# UV_FIND_LINKS (a folder of wheels) or UV_INDEX (the index that pytorch.org names).
set -euo pipefail
cd "$(dirname "$0")/.."
locks=deploy/images/locks
mkdir -p "$locks"

compile() { # NAME SOURCE [OPTION...]
  local name=$1
  shift
  uv pip compile --quiet --generate-hashes --no-header --no-annotate --only-binary :all: \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 --constraint requirements.lock \
    --output-file "$locks/$name.txt" "$@"
}

# Each is written anew: an old one would hold versions that the constraint has left.
rm -f "$locks"/*.txt
for service in gateway session interpreter remixer; do
  compile "$service" pyproject.toml --extra "$service"
done
compile separator pyproject.toml --extra separator
grep -q '^torch==.*+cpu' "$locks/separator.txt" ||
  { echo "PyTorch's CPU build was not found: set UV_FIND_LINKS or UV_INDEX" >&2; exit 1; }
# CUDA's libraries are those that PyPI's PyTorch asks for.
env -u UV_FIND_LINKS -u UV_INDEX uv pip compile --quiet --generate-hashes --no-header --no-annotate \
  --only-binary :all: --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
  --constraint requirements.lock --output-file "$locks/separator-cuda.txt" \
  pyproject.toml --extra separator
python - <<'PYTHON' | compile build -
import tomllib
print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]))
PYTHON
