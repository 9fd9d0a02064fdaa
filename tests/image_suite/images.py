"""Images put together from layers: blobs, configuration and manifest, each of which a test may spoil."""

import hashlib
import json
import os
import platform

import archives

OCI, DOCKER = "application/vnd.oci.image.", "application/vnd.docker."
OCI_INDEX, OCI_MANIFEST, OCI_CONFIG = OCI + "index.v1+json", OCI + "manifest.v1+json", OCI + "config.v1+json"
OCI_LAYER = OCI + "layer.v1.tar"
DOCKER_MANIFEST, DOCKER_CONFIG = DOCKER + "distribution.manifest.v2+json", DOCKER + "container.image.v1+json"
DOCKER_LAYER, DOCKER_FOREIGN = DOCKER + "image.rootfs.diff.tar.gzip", DOCKER + "image.rootfs.foreign.diff.tar.gzip"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def dump(document):
    return json.dumps(document).encode()


class Image:
    """tars: the layers, lowest first. pack(tar) compresses one; layer_type is the media type of them all."""

    def __init__(self, *tars, pack=archives.gzipped, layer_type=OCI_LAYER + "+gzip", docker=False, diff_ids=None, urls=None):
        self.blobs = {}
        self.config = {"architecture": ARCHITECTURE, "os": "linux", "config": {"Cmd": ["/nothing"]},
                       "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(tar) for tar in tars]}}
        self.layers = []
        for tar in tars:
            descriptor = self.add(pack(tar), layer_type)
            if urls:
                descriptor["urls"] = urls
            self.layers.append(descriptor)
        self.types = (DOCKER_MANIFEST, DOCKER_CONFIG) if docker else (OCI_MANIFEST, OCI_CONFIG)
        self.extra = {}  # further members of the manifest

    def add(self, blob, media_type):
        self.blobs[digest(blob)] = blob
        return {"mediaType": media_type, "digest": digest(blob), "size": len(blob)}

    def manifest(self):
        config = self.add(dump(self.config), self.types[1])
        return dump({"schemaVersion": 2, "mediaType": self.types[0], "config": config, "layers": self.layers, **self.extra})

    def write_layout(self, folder):
        """An OCI image layout with this image under the tag "image"."""
        manifest = self.manifest()
        blobs = os.path.join(folder, "blobs", "sha256")
        os.makedirs(blobs)
        for name, blob in [*self.blobs.items(), (digest(manifest), manifest)]:
            with open(os.path.join(blobs, name.partition(":")[2]), "wb") as file:
                file.write(blob)
        descriptor = {"mediaType": OCI_MANIFEST, "digest": digest(manifest), "size": len(manifest),
                      "annotations": {"org.opencontainers.image.ref.name": "image"}}
        with open(os.path.join(folder, "index.json"), "wb") as file:
            file.write(dump({"schemaVersion": 2, "manifests": [descriptor]}))
        with open(os.path.join(folder, "oci-layout"), "wb") as file:
            file.write(b'{"imageLayoutVersion": "1.0.0"}')
