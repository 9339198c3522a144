"""Looks after blob stores: `python -m services.runtime.blobs copy SOURCE TARGET`.

A store is a folder or s3://BUCKET/PREFIX; how to speak to S3 comes from the environment, for both.
"""

from __future__ import annotations

import argparse
import sys

import structlog

from services.runtime.blobs.copying import copy_store
from services.runtime.blobs.opening import open_blob_store
from services.runtime.errors import MixdownError
from services.runtime.logs import configure_logs

_log = structlog.get_logger("mixdown.blobs")


def main() -> None:
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(prog="python -m services.runtime.blobs", description=__doc__)
    commands = parser.add_subparsers(required=True)
    copy = commands.add_parser("copy", help="copy what the target does not have, and check it")
    copy.add_argument("source", help="a folder or s3://BUCKET/PREFIX; it may be in use")
    copy.add_argument("target", help="a folder or s3://BUCKET/PREFIX")
    options = parser.parse_args()
    configure_logs("blobs", "info", "json")
    try:
        copied = copy_store(open_blob_store(options.source), open_blob_store(options.target))
    except MixdownError as error:
        _log.error("not copied", reason=error.reason, error=error.message, **error.metadata)
        sys.exit(1)
    _log.info("copied", blobs=copied.blobs, size_bytes=copied.size_bytes, records=copied.records)


if __name__ == "__main__":
    main()
