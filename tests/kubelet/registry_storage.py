"""Puts the images of an OCI layout into the storage of a docker-registry, without the registry.

usage: registry_storage.py LAYOUT STORAGE TAG

STORAGE is the folder that the registry calls rootdirectory. An image NAME of the layout becomes the repository NAME with TAG.
"""

import json
import os
import sys


def main():
    layout, storage, tag = sys.argv[1:]
    root = os.path.join(storage, "docker/registry/v2")

    def read(digest):
        with open(os.path.join(layout, "blobs", *digest.split(":")), "rb") as file:
            return file.read()

    def write(path, content):
        path = os.path.join(root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def store(digest, *links):
        algorithm, value = digest.split(":")
        write(f"blobs/{algorithm}/{value[:2]}/{value}/data", read(digest))
        for link in links:
            write(f"repositories/{link}/link", digest.encode())

    with open(os.path.join(layout, "index.json"), "rb") as file:
        images = json.load(file)["manifests"]
    for image in images:
        name = image["annotations"]["org.opencontainers.image.ref.name"]
        digest = image["digest"]
        path = digest.replace(":", "/")
        tags = f"{name}/_manifests/tags/{tag}"
        store(digest, f"{name}/_manifests/revisions/{path}", f"{tags}/current", f"{tags}/index/{path}")
        manifest = json.loads(read(digest))
        for blob in [manifest["config"], *manifest["layers"]]:
            store(blob["digest"], f"{name}/_layers/{blob['digest'].replace(':', '/')}")


main()
