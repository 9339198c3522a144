"""Manifests spoilt in one way each, by the rule that has to see it."""
