"""Parts of rendered manifests, to take hold of what is spoilt."""


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
