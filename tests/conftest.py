"""What holds for all tests."""

import os

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
