"""The people of a space around the real portal."""

from tests.simulators.portal_space import people

__all__ = ["people"]
