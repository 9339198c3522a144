"""The calls of the gateway, which several files share."""

from mixdown.gateway.v1 import gateway_pb2
from services.gateway.api import GatewayApi


def test_every_call_of_the_contract_is_answered():
    service = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
    ours = {name for kind in GatewayApi.__mro__[:-2] for name in vars(kind)}
    assert {method.name for method in service.methods} <= ours
