"""Makes the images of the conformance tests from layers, as the storage of a docker-registry.

usage: make_registry.py LAYERS STORAGE ARCHITECTURE

LAYERS has one folder for each layer. STORAGE is the folder that the registry calls rootdirectory. Everything is
reproducible: the same layers give the same digests. Prints the digest of the image that critest pulls by digest.
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

OCI = {
    "index": "application/vnd.oci.image.index.v1+json",
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
}
DOCKER = {
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Registry:
    """The files in which docker-registry keeps blobs, manifests and tags."""

    def __init__(self, root):
        self.root = os.path.join(root, "docker/registry/v2")

    def _write(self, path, content):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def blob(self, repository, content):
        digest = hashlib.sha256(content).hexdigest()
        self._write(f"blobs/sha256/{digest[:2]}/{digest}/data", content)
        self._write(f"repositories/{repository}/_layers/sha256/{digest}/link", f"sha256:{digest}".encode())
        return {"digest": f"sha256:{digest}", "size": len(content)}

    def manifest(self, repository, document):
        content = json.dumps(document, indent=2).encode()
        digest = hashlib.sha256(content).hexdigest()
        link = f"sha256:{digest}".encode()
        self._write(f"blobs/sha256/{digest[:2]}/{digest}/data", content)
        self._write(f"repositories/{repository}/_manifests/revisions/sha256/{digest}/link", link)
        return {"mediaType": document["mediaType"], "digest": link.decode(), "size": len(content)}

    def tag(self, repository, name, digest):
        folder = f"repositories/{repository}/_manifests/tags/{name}"
        self._write(f"{folder}/current/link", digest.encode())
        self._write(f"{folder}/index/{digest.replace(':', '/')}/link", digest.encode())


def layer_of_folder(folder):
    """A layer with what is in a folder, in a fixed order and without times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for parent, folders, files in os.walk(folder):
            folders.sort()
            links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
            for name in sorted(files + links + ([""] if parent != folder else [])):
                path = os.path.join(parent, name).rstrip("/")
                entry = archive.gettarinfo(path, os.path.relpath(path, folder))
                entry.mtime = 0
                entry.uname = entry.gname = ""
                if entry.isreg():
                    with open(path, "rb") as file:
                        archive.addfile(entry, file)
                else:
                    archive.addfile(entry)
    return buffer.getvalue()


def layer_of_file(name):
    """A layer with one empty file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


class Images:
    def __init__(self, layers, registry, architecture):
        self.layers = layers
        self.registry = registry
        self.architecture = architecture

    def _layer(self, layer):
        """A layer as it is stored, and its digest before compression; `layer` names a folder or is bytes."""
        if isinstance(layer, str):
            layer = layer_of_folder(os.path.join(self.layers, layer))
        return gzip.compress(layer, 6, mtime=0), "sha256:" + hashlib.sha256(layer).hexdigest()

    def _platform(self, repository, types, architecture, layers, config):
        stored, diff_ids = [], []
        for layer in layers:
            content, diff_id = self._layer(layer)
            stored.append({"mediaType": types["layer"], **self.registry.blob(repository, content)})
            diff_ids.append(diff_id)
        document = {
            "created": "2020-01-01T00:00:00Z",
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": [PATH], **config},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        content = json.dumps(document).encode()
        return self.registry.manifest(repository, {
            "schemaVersion": 2,
            "mediaType": types["manifest"],
            "config": {"mediaType": types["config"], **self.registry.blob(repository, content)},
            "layers": stored,
        })

    def one(self, repository, tags, layers, config, types):
        """An image for this machine only."""
        manifest = self._platform(repository, types, self.architecture, layers, config)
        for tag in tags:
            self.registry.tag(repository, tag, manifest["digest"])

    def many(self, repository, tags, layers, config, types):
        """A list of images; those for other machines hold nothing that could run here."""
        foreign = "s390x"
        listed = []
        for architecture in (foreign, self.architecture):
            content = [layer_of_file("not-for-this-machine")] if architecture == foreign else layers
            manifest = self._platform(repository, types, architecture, content, config)
            listed.append({**manifest, "platform": {"architecture": architecture, "os": "linux"}})
        index = self.registry.manifest(repository, {
            "schemaVersion": 2,
            "mediaType": types["index"],
            "manifests": listed,
        })
        for tag in tags:
            self.registry.tag(repository, tag, index["digest"])
        return index["digest"]


def main():
    layers, storage, architecture = sys.argv[1:]
    images = Images(layers, Registry(storage), architecture)
    shell = {"Cmd": ["sh"]}

    # gcr.io/k8s-staging-cri-tools, as the Dockerfiles in cri-tools have them.
    staging = "k8s-staging-cri-tools/"
    for name, user in {"uid": "1002", "username": "www-data", "uid-group": "1003:1004",
                       "username-group": "www-data:1004"}.items():
        images.many(f"{staging}test-image-user-{name}", ["latest"], ["busybox"], {**shell, "User": user}, DOCKER)
    images.many(f"{staging}test-image-predefined-group", ["latest"], ["busybox", "predefined-group"],
                {**shell, "User": "1000"}, DOCKER)
    for name in ("1", "2", "3", "latest"):
        images.many(f"{staging}test-image-{name}", ["latest"],
                    ["busybox", layer_of_file(f"test-image-{name}")], shell, DOCKER)
    images.many(f"{staging}test-image-tags", ["1", "2", "3"], ["busybox", layer_of_file("same-image")], shell, DOCKER)
    for tag in ("test", "all"):
        images.many(f"{staging}test-image-tag", [tag], ["busybox", layer_of_file(tag)], shell, DOCKER)
    digest = images.many(f"{staging}test-image-digest", [], ["busybox", layer_of_file("test-image-digest")],
                         shell, DOCKER)
    web = {"Cmd": ["nginx", "-g", "daemon off;"], "StopSignal": "SIGQUIT", "ExposedPorts": {"80/tcp": {}}}
    images.one(f"{staging}hostnet-nginx-{architecture}", ["latest"], ["nginx", "busybox", "hostnet-nginx"], web, DOCKER)

    # registry.k8s.io, and k8s.gcr.io, its older name. Each version of pause is an image of its own.
    images.many("e2e-test-images/busybox", ["1.29-2"], ["busybox"], shell, OCI)
    images.many("e2e-test-images/nginx", ["1.14-2"], ["nginx", "busybox", "web-nginx"], web, OCI)
    images.many("e2e-test-images/httpd", ["2.4.39-4"], ["httpd", "busybox", "web-httpd"],
                {"Cmd": ["httpd", "-DFOREGROUND"], "StopSignal": "SIGWINCH", "ExposedPorts": {"80/tcp": {}}}, OCI)
    images.many("e2e-test-images/nonewprivs", ["1.3"], ["busybox", "nonewprivs"], {"Entrypoint": ["/nnp"]}, OCI)
    for version in ("3.6", "3.9"):
        images.many("pause", [version], ["pause"],
                    {"Entrypoint": ["/pause"], "User": "65535:65535", "Env": [PATH, f"VERSION={version}"]}, OCI)

    # public.ecr.aws, for the benchmarks.
    for tag in ("1.35.0-glibc", "1-uclibc", "1", "1-glibc", "1-musl"):
        images.many("docker/library/busybox", [tag], ["busybox", layer_of_file(tag)], shell, OCI)

    print(digest)


main()
