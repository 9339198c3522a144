"""What refers to something else, each reference spoilt in one way."""

from tests.deploy.spoilt.parts import container, deployment, pod, remove, settings


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


SPOILT = {
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
