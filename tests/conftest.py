"""What holds for all tests."""

import os
import signal

from hypothesis import HealthCheck, settings

# No time limit for an example, nor for making one up: a busy machine is no defect. In CI the
# examples are always the same, so that what fails there fails everywhere; elsewhere new ones are
# tried each time.
settings.register_profile(
    "mixdown",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mixdown")

# A shell has what it runs in the background ignore Ctrl-C, and so would every process that a test
# starts: those that press it would wait for nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
