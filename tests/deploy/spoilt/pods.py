"""Pods, each spoilt in one way."""

from tests.deploy.spoilt.parts import container, pod, remove, settings


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


SPOILT = {
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
}
