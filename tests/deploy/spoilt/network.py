"""Ports, Services and NetworkPolicies, each spoilt in one way."""

from tests.deploy.spoilt.parts import policy, remove


def a_port_without_a_service(found):
    remove(found, "Service", "envoy-internal")


def a_service_without_pods(found):
    found.find("Service", "gateway")["spec"]["selector"] = {"app.kubernetes.io/name": "gatway"}


def a_service_of_another_port(found):
    found.find("Service", "gateway")["spec"]["ports"][0]["targetPort"] = "http"


def a_service_with_an_address_of_its_own(found):
    del found.find("Service", "separator")["spec"]["clusterIP"]


def without_the_denial(found):
    remove(found, "NetworkPolicy", "default-deny")


def a_denial_one_way(found):
    policy(found, "default-deny")["policyTypes"] = ["Ingress"]


def a_denial_that_allows(found):
    policy(found, "default-deny")["egress"] = [{}]


def a_policy_for_nobody(found):
    policy(found, "language-model")["podSelector"] = {"matchLabels": {"app": "interpreter"}}


def a_policy_for_a_port_that_is_not_there(found):
    policy(found, "services")["ingress"][0]["ports"][0]["port"] = "http"


def a_port_that_nobody_may_call(found):
    policy(found, "envoy")["ingress"].pop()


def a_service_that_anybody_may_call(found):
    del policy(found, "services")["ingress"][0]["from"]


def all_ports_of_a_service(found):
    del policy(found, "services")["ingress"][0]["ports"]


def metrics_that_nobody_fetches(found):
    (choice,) = found.find("PodMonitor", "mixdown")["spec"]["selector"]["matchExpressions"]
    choice["values"].remove("envoy")


def metrics_that_nobody_may_fetch(found):
    (choice,) = policy(found, "metrics")["podSelector"]["matchExpressions"]
    choice["values"].remove("envoy")


def metrics_from_another_port(found):
    (endpoint,) = found.find("PodMonitor", "mixdown")["spec"]["podMetricsEndpoints"]
    endpoint["port"] = "internal"


def a_caller_too_many(found):
    for name in ("services", "callers"):
        names = policy(found, name)["podSelector"]["matchExpressions"][0]["values"]
        names += [] if "session" in names else ["session"]
    names = policy(found, "envoy")["ingress"][1]["from"][0]["podSelector"]["matchExpressions"]
    names[0]["values"].append("session")


def a_caller_too_few(found):
    policy(found, "callers")["podSelector"]["matchExpressions"][0]["values"].remove("remixer")


def way_out_to_anywhere(found):
    policy(found, "blobs")["egress"] = [{}]


def way_out_by_another_port(found):
    policy(found, "language-model")["egress"][0]["ports"][0]["port"] = 80


def way_out_for_envoy(found):
    policy(found, "envoy")["egress"].append({"ports": [{"port": 443}]})


def way_to_the_metadata(found):
    block = policy(found, "blobs")["egress"][0]["to"][0]["ipBlock"]
    block["except"].remove("169.254.0.0/16")


SPOILT = {
    "served": [
        a_port_without_a_service,
        a_service_without_pods,
        a_service_of_another_port,
        a_service_with_an_address_of_its_own,
    ],
    "denied": [without_the_denial, a_denial_one_way, a_denial_that_allows],
    "selecting": [a_policy_for_nobody, a_policy_for_a_port_that_is_not_there],
    "reachable": [
        a_port_that_nobody_may_call,
        a_service_that_anybody_may_call,
        all_ports_of_a_service,
    ],
    "scraped": [
        metrics_that_nobody_fetches,
        metrics_that_nobody_may_fetch,
        metrics_from_another_port,
    ],
    "arrows": [a_caller_too_many, a_caller_too_few],
    "outgoing": [
        way_out_to_anywhere,
        way_out_by_another_port,
        way_out_for_envoy,
        way_to_the_metadata,
    ],
}
