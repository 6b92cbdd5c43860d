"""What integration tests share: one embedded chain for the session, with a space's contracts on it."""

from tests.integration.chain_fixtures import chain_space, devchain

__all__ = ["chain_space", "devchain"]
