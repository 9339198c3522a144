"""What must hold of the rendered manifests, as pure functions from documents to findings."""

from tests.deploy.policies.manifests import Finding, Manifests
from tests.deploy.policies.rules import RULES, check

__all__ = ["RULES", "Finding", "Manifests", "check"]
