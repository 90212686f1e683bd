"""What all tests have in common."""

from hypothesis import settings

# A machine may be busy: how long an example takes says nothing of the code.
settings.register_profile("tlru", deadline=None)
settings.load_profile("tlru")
