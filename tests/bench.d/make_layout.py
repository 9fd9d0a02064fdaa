"""Adds an image of given layers to an OCI layout.

usage: make_layout.py LAYOUT TAG COMPRESSION TAR…
"""

import gzip
import hashlib
import json
import os
import subprocess
import sys


def main():
    layout, tag, compression, *tars = sys.argv[1:]
    blobs = os.path.join(layout, "blobs/sha256")
    os.makedirs(blobs, exist_ok=True)

    def blob(content):
        digest = hashlib.sha256(content).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as file:
            file.write(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    layers, diff_ids = [], []
    for path in tars:
        with open(path, "rb") as file:
            content = file.read()
        diff_ids.append("sha256:" + hashlib.sha256(content).hexdigest())
        if compression == "gzip":
            packed = gzip.compress(content, 6, mtime=0)
        else:
            packed = subprocess.run(["zstd", "-q", "-3", "-c", path], check=True, stdout=subprocess.PIPE).stdout
        layers.append({"mediaType": f"application/vnd.oci.image.layer.v1.tar+{compression}", **blob(packed)})
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, stdout=subprocess.PIPE, text=True)
    config = json.dumps({
        "architecture": architecture.stdout.strip(),
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }).encode()
    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(config)},
        "layers": layers,
    }).encode()
    index = os.path.join(layout, "index.json")
    document = {"schemaVersion": 2, "manifests": []}
    if os.path.exists(index):
        with open(index, encoding="utf-8") as file:
            document = json.load(file)
    document["manifests"].append({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        **blob(manifest),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    })
    with open(index, "w", encoding="utf-8") as file:
        json.dump(document, file)
    with open(os.path.join(layout, "oci-layout"), "w", encoding="utf-8") as file:
        json.dump({"imageLayoutVersion": "1.0.0"}, file)


main()
