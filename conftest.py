"""What all tests share."""

from hypothesis import settings

# hypothesis' own limit of 200 ms for an example would be a timed test, which a busy machine fails.
settings.register_profile("fieldline", deadline=None)
settings.load_profile("fieldline")
