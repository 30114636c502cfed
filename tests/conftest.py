"""What holds for every test."""

from hypothesis import HealthCheck, settings

# No test depends on timing: on a busy machine making examples may be slow.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
