"""The rules find what is broken: each manifest here is spoilt in one way, and caught."""

import pytest

from tests.deploy.policies import RULES
from tests.deploy.rendering import code, envoy_config, manifests

PRODUCTION = "overlays/production"


def deployment(found, name="gateway"):
    return found.find("Deployment", name)


def pod(found, name="gateway", kind="Deployment"):
    return found.find(kind, name)["spec"]["template"]["spec"]


def container(found, name="gateway", kind="Deployment"):
    return pod(found, name, kind)["containers"][0]


def settings(found, name):
    return next(
        document["data"]
        for document in found.of_kind("ConfigMap")
        if document["metadata"]["name"].rsplit("-", 1)[0] == name
    )


def policy(found, name):
    return found.find("NetworkPolicy", name)["spec"]


def remove(found, kind, name):
    found.documents.remove(found.find(kind, name))


def as_root(found):
    pod(found)["securityContext"]["runAsUser"] = 0


def root_is_not_refused(found):
    del pod(found, "session-migrate", "Job")["securityContext"]["runAsNonRoot"]


def without_seccomp(found):
    del pod(found)["securityContext"]["seccompProfile"]


def with_a_token(found):
    del pod(found)["automountServiceAccountToken"]


def with_the_default_account(found):
    pod(found)["serviceAccountName"] = "default"


def with_variables_of_services(found):
    pod(found)["enableServiceLinks"] = True


def in_the_nodes_network(found):
    pod(found)["hostNetwork"] = True


def with_a_folder_of_the_node(found):
    pod(found)["volumes"].append({"name": "node", "hostPath": {"path": "/"}})


def with_a_volume_without_an_end(found):
    next(volume for volume in pod(found)["volumes"] if volume["name"] == "tmp")["emptyDir"] = {}


def with_more_privileges(found):
    container(found)["securityContext"]["allowPrivilegeEscalation"] = True


def privileged(found):
    container(found)["securityContext"]["privileged"] = True


def with_a_root_to_write_to(found):
    del container(found)["securityContext"]["readOnlyRootFilesystem"]


def with_a_capability(found):
    container(found)["securityContext"]["capabilities"]["add"] = ["NET_ADMIN"]


def with_capabilities_in_a_first_container(found):
    del pod(found, "envoy")["initContainers"][0]["securityContext"]["capabilities"]


def with_a_port_of_the_node(found):
    container(found)["ports"][0]["hostPort"] = 50051


def without_a_memory_limit(found):
    del container(found)["resources"]["limits"]["memory"]


def asking_for_more_than_it_may_use(found):
    container(found)["resources"]["requests"]["memory"] = "20Gi"


def without_a_version(found):
    container(found)["image"] = "registry.example.com/mixdown/gateway"


def of_the_latest_version(found):
    container(found)["image"] = "registry.example.com/mixdown/gateway:latest"


def without_a_readiness_probe(found):
    del container(found)["readinessProbe"]


def probed_at_another_port(found):
    container(found, "envoy")["readinessProbe"]["grpc"]["port"] = 50052


def probed_in_the_clear(found):
    container(found)["livenessProbe"] = {"grpc": {"port": 50051}}


def probed_by_another_name(found):
    container(found)["env"][0]["value"] = "session"


def probed_by_http(found):
    container(found)["startupProbe"] = {"httpGet": {"path": "/", "port": "metrics"}}


def restarted_before_it_is_ready(found):
    container(found, "separator")["livenessProbe"]["exec"]["command"].pop()


def ready_before_it_has_a_model(found):
    container(found, "separator")["readinessProbe"]["exec"]["command"].append("liveness")


def listening_elsewhere(found):
    settings(found, "gateway")["MIXDOWN_LISTEN"] = "0.0.0.0:6000"


def listening_to_itself_alone(found):
    settings(found, "gateway")["MIXDOWN_LISTEN"] = "127.0.0.1:50051"


def running_another_service(found):
    container(found)["command"] = ["python", "-m", "services.session"]


def without_a_service(found):
    remove(found, "Deployment", "interpreter")


def killed_before_it_is_drained(found):
    pod(found)["terminationGracePeriodSeconds"] = 30


def drained_longer_than_its_grace(found):
    settings(found, "remixer")["MIXDOWN_DRAIN_SECONDS"] = "400"


def drained_without_notice(found):
    settings(found, "services")["MIXDOWN_DRAIN_NOTICE_SECONDS"] = "0"


def stopped_at_once(found):
    del container(found)["lifecycle"]


def an_envoy_that_ends_at_once(found):
    del container(found, "envoy")["lifecycle"]


def an_envoy_killed_while_it_drains(found):
    pod(found, "envoy")["terminationGracePeriodSeconds"] = 60


def without_a_budget(found):
    remove(found, "PodDisruptionBudget", "gateway")


def with_a_budget_that_holds_up_a_drain(found):
    found.find("PodDisruptionBudget", "separator")["spec"]["maxUnavailable"] = 0


def all_in_one_place(found):
    del pod(found)["topologySpreadConstraints"]


def another_with_a_gpu(found):
    container(found, "remixer")["resources"]["limits"]["nvidia.com/gpu"] = 1


def half_a_gpu(found):
    del container(found, "separator")["resources"]["requests"]["nvidia.com/gpu"]


def a_gpu_without_its_toleration(found):
    del pod(found, "separator")["tolerations"]


def a_gpu_on_any_node(found):
    del pod(found, "separator")["affinity"]


def a_gpu_without_shared_memory(found):
    for volume in pod(found, "separator")["volumes"]:
        volume.get("emptyDir", {}).pop("medium", None)


def a_gpu_that_is_not_used(found):
    settings(found, "separator")["MIXDOWN_DEVICE"] = "auto"


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


def without_an_account(found):
    remove(found, "ServiceAccount", "gateway")


def an_account_that_hands_out_tokens(found):
    del found.find("ServiceAccount", "gateway")["automountServiceAccountToken"]


def without_its_settings(found):
    container(found)["envFrom"][0]["configMapRef"]["name"] = "nowhere"


def database_url(found):
    variables = container(found, "session")["env"]
    return next(variable for variable in variables if variable["name"] == "MIXDOWN_DATABASE_URL")


def with_a_secret_that_nobody_makes(found):
    database_url(found)["valueFrom"]["secretKeyRef"]["key"] = "url"


def with_a_mount_of_nothing(found):
    pod(found)["volumes"].clear()


def without_its_claim(found):
    remove(found, "PersistentVolumeClaim", "separator-models")


def a_certificate_of_another_name(found):
    found.find("Certificate", "session")["spec"]["dnsNames"] = ["sessions"]


def without_its_certificate(found):
    remove(found, "Certificate", "remixer")


def a_certificate_that_is_not_seen(found):
    mounts = container(found)["volumeMounts"]
    mounts[:] = [mount for mount in mounts if mount["mountPath"] != "/tls"]


def a_secret_in_clear(found):
    found.documents.append(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "blobs", "namespace": "mixdown"},
            "stringData": {"secret-access-key": "hunter2"},
        }
    )


def a_password_in_a_variable(found):
    del database_url(found)["valueFrom"]
    database_url(found)["value"] = "postgresql://mixdown@database/mixdown"


def a_password_in_a_setting(found):
    settings(found, "interpreter")["MIXDOWN_OPENAI_API_KEY"] = "sk-123"


def credentials_in_an_address(found):
    settings(found, "blobs")["MIXDOWN_S3_ENDPOINT"] = "https://me:hunter2@s3.example.com"


def an_unknown_setting(found):
    settings(found, "gateway")["MIXDOWN_LEASE_SECOND"] = "30"


def a_setting_of_another_service(found):
    settings(found, "gateway")["MIXDOWN_MAX_RENDERS"] = "4"


def an_unknown_variable_of_envoy(found):
    settings(found, "envoy")["MIXDOWN_ENVOY_PROT"] = "8080"


def in_another_namespace(found):
    deployment(found)["metadata"]["namespace"] = "default"


def a_namespace_that_enforces_nothing(found):
    namespace = next(found.of_kind("Namespace"))
    namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"


def without_the_migration(found):
    remove(found, "Job", "session-migrate")


def a_migration_of_another_release(found):
    container(found, "session-migrate", "Job")["image"] += "-rc1"


def a_migration_that_cannot_reach_the_database(found):
    del found.find("NetworkPolicy", "database")["metadata"]["labels"]["mixdown/step"]


def replicas_said_twice(found):
    deployment(found)["spec"]["replicas"] = 3


def a_scaler_of_nothing(found):
    scaler = found.find("ScaledObject", "gateway")
    scaler["spec"]["scaleTargetRef"]["name"] = "gatway"


def a_scaler_by_a_metric_that_nobody_exports(found):
    trigger = found.find("ScaledObject", "separator")["spec"]["triggers"][0]
    trigger["metadata"]["query"] = "sum(mixdown_separator_queue_depth)"


def a_scaler_upside_down(found):
    found.find("ScaledObject", "separator")["spec"]["minReplicaCount"] = 11


def a_cluster_of_another_host(found):
    settings(found, "envoy")["MIXDOWN_REMIXER_HOST"] = "remix"


def a_cluster_of_another_port(found):
    settings(found, "envoy")["MIXDOWN_REMIXER_PORT"] = "50055"


def an_envoy_that_listens_elsewhere(found):
    settings(found, "envoy")["MIXDOWN_ENVOY_INTERNAL_PORT"] = "8082"


BROKEN = {
    "restricted": [
        as_root,
        root_is_not_refused,
        without_seccomp,
        with_a_token,
        with_the_default_account,
        with_variables_of_services,
        in_the_nodes_network,
        with_a_folder_of_the_node,
        with_a_volume_without_an_end,
        with_more_privileges,
        privileged,
        with_a_root_to_write_to,
        with_a_capability,
        with_capabilities_in_a_first_container,
        with_a_port_of_the_node,
    ],
    "sized": [without_a_memory_limit, asking_for_more_than_it_may_use],
    "pinned": [without_a_version, of_the_latest_version],
    "probed": [
        without_a_readiness_probe,
        probed_at_another_port,
        probed_by_http,
        probed_in_the_clear,
        ready_before_it_has_a_model,
        restarted_before_it_is_ready,
        probed_by_another_name,
    ],
    "listening": [
        listening_elsewhere,
        listening_to_itself_alone,
        running_another_service,
        without_a_service,
    ],
    "drained": [
        killed_before_it_is_drained,
        drained_longer_than_its_grace,
        drained_without_notice,
        stopped_at_once,
        an_envoy_that_ends_at_once,
        an_envoy_killed_while_it_drains,
    ],
    "disrupted": [without_a_budget, with_a_budget_that_holds_up_a_drain, all_in_one_place],
    "accelerated": [
        another_with_a_gpu,
        half_a_gpu,
        a_gpu_without_its_toleration,
        a_gpu_on_any_node,
        a_gpu_without_shared_memory,
        a_gpu_that_is_not_used,
    ],
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
    "arrows": [a_caller_too_many, a_caller_too_few],
    "outgoing": [
        way_out_to_anywhere,
        way_out_by_another_port,
        way_out_for_envoy,
        way_to_the_metadata,
    ],
    "referenced": [
        without_an_account,
        an_account_that_hands_out_tokens,
        without_its_settings,
        with_a_secret_that_nobody_makes,
        with_a_mount_of_nothing,
        without_its_claim,
    ],
    "certified": [
        a_certificate_of_another_name,
        without_its_certificate,
        a_certificate_that_is_not_seen,
    ],
    "secret": [
        a_secret_in_clear,
        a_password_in_a_variable,
        a_password_in_a_setting,
        credentials_in_an_address,
    ],
    "known": [an_unknown_setting, a_setting_of_another_service, an_unknown_variable_of_envoy],
    "placed": [in_another_namespace, a_namespace_that_enforces_nothing],
    "migrated": [
        without_the_migration,
        a_migration_of_another_release,
        a_migration_that_cannot_reach_the_database,
    ],
    "scaled": [
        replicas_said_twice,
        a_scaler_of_nothing,
        a_scaler_by_a_metric_that_nobody_exports,
        a_scaler_upside_down,
    ],
    "enveloped": [
        a_cluster_of_another_host,
        a_cluster_of_another_port,
        an_envoy_that_listens_elsewhere,
    ],
}


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        pytest.param(rule, spoil, id=f"{rule}-{spoil.__name__}")
        for rule, spoils in BROKEN.items()
        for spoil in spoils
    ],
)
def test_a_broken_manifest_is_caught(rule, spoil, tmp_path):
    found = manifests(PRODUCTION)
    spoil(found)
    envoy = envoy_config(found, tmp_path) if rule == "enveloped" else {}
    findings = RULES[rule](found, code(), envoy)
    assert list(findings), f"{rule} does not see {spoil.__name__}"


def test_every_rule_has_caught_something():
    assert set(BROKEN) == set(RULES)
