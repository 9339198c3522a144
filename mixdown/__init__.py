"""Mixdown for callers: the contracts, the mix, the client and the `mixdown` command."""
