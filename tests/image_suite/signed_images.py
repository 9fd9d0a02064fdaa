"""Signed images, and images whose signatures must not count, as repositories below "signed/".

The suite's signature policy requires a signature by the keys of setup there. Signatures are made by openssl, in the forms
that cosign writes.
"""

import base64
import subprocess

from archives import entry, tar
from hostile_images import REPOSITORIES, Repository
from images import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, ARCHITECTURE, Image, digest, dump

KEYS = "/etc/cri-nspawn/tests/signing"
REGISTRY = "127.0.0.1:5001"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT = "application/vnd.in-toto+json"
SIGN = "https://sigstore.dev/cosign/sign/v1"


def openssl_signature(key, message):
    # Ed25519 is only signed from a file.
    with open("/tmp/to-be-signed", "wb") as file:
        file.write(message)
    hashed = [] if key == "ed25519" else ["-digest", "sha256"]
    command = ["openssl", "pkeyutl", "-sign", "-rawin", *hashed, "-inkey", f"{KEYS}/{key}.key", "-in", "/tmp/to-be-signed"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def in_base64(data):
    return base64.b64encode(data).decode()


def payload(image_digest, name):
    return dump({"critical": {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": image_digest},
                              "type": "cosign container image signature"}, "optional": None})


def tag_of(image_digest, suffix=""):
    return image_digest.replace(":", "-") + suffix


class Signed(Repository):
    def __init__(self, name):
        super().__init__(Image(tar(entry("file", data=name.encode()))))
        self.name = f"{REGISTRY}/signed/{name}"
        self.image_digest = digest(self.manifests["latest"][1])

    def add(self, blob, media_type, **more):
        self.blobs[digest(blob)] = blob
        return {"mediaType": media_type, "digest": digest(blob), "size": len(blob), **more}

    def layer(self, content, signature):
        return self.add(content, SIMPLE_SIGNING, annotations={"dev.cosignproject.cosign/signature": in_base64(signature)})

    def manifest(self, layers, **more):
        return dump({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": self.add(b"{}", OCI_CONFIG), "layers": layers, **more})

    def put_signatures(self, layers, of=None):
        self.tag(tag_of(of or self.image_digest, ".sig"), OCI_MANIFEST, self.manifest(layers))

    def sign(self, key="ecdsa", of=None, name=None, claimed=None):
        content = payload(claimed or of or self.image_digest, name or self.name)
        self.put_signatures([self.layer(content, openssl_signature(key, content))], of)

    def bundle(self, key="ecdsa", predicate=SIGN):
        """The descriptor of a bundle as `cosign sign` writes it, among those that refer to the image."""
        statement = dump({"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": {},
                          "subject": [{"digest": {"sha256": self.image_digest.partition(":")[2]}}]})
        signed = b"DSSEv1 %d %s %d %s" % (len(STATEMENT), STATEMENT.encode(), len(statement), statement)
        content = dump({"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": ""}},
                        "dsseEnvelope": {"payload": in_base64(statement), "payloadType": STATEMENT,
                                         "signatures": [{"sig": in_base64(openssl_signature(key, signed))}]}})
        manifest = self.manifest([self.add(content, BUNDLE)], artifactType=BUNDLE,
                                 subject={"mediaType": OCI_MANIFEST, "digest": self.image_digest, "size": 1})
        return {**self.tag(digest(manifest), OCI_MANIFEST, manifest), "artifactType": BUNDLE}

    def refer(self, *descriptors):
        self.referrers = {self.image_digest: dump({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors})}

    def put_index(self):
        """The tag "latest" becomes an index with the image. Gives the digest of the index."""
        platform = {"os": "linux", "architecture": ARCHITECTURE}
        entries = [{"mediaType": OCI_MANIFEST, "digest": self.image_digest, "platform": platform,
                    "size": len(self.manifests[self.image_digest][1])}]
        index = dump({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
        return self.tag("latest", OCI_INDEX, index)["digest"]


def signed(make):
    name = make.__name__.replace("_", "-")

    def repository():
        result = Signed(name)
        make(result)
        return result
    REPOSITORIES["signed/" + name] = repository


# ---------------------------------------------------------------------------------------------------------------------
# Those that count


@signed
def by_ecdsa(r): r.sign()


@signed
def by_rsa(r): r.sign("rsa")


@signed
def by_ed25519(r): r.sign("ed25519")


@signed
def index_signed(r): r.sign(of=r.put_index())


@signed
def manifest_of_index_signed(r):
    r.put_index()
    r.sign()


@signed
def second_of_two(r):
    content = payload(r.image_digest, r.name)
    r.put_signatures([r.layer(content, openssl_signature(key, content)) for key in ("stranger", "ecdsa")])


@signed
def bundle_by_api(r): r.refer(r.bundle())


@signed
def bundle_by_tag(r):
    r.tag(tag_of(r.image_digest), OCI_INDEX, dump({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [r.bundle()]}))


# ---------------------------------------------------------------------------------------------------------------------
# Those that do not


@signed
def unsigned(r): pass


@signed
def by_stranger(r): r.sign("stranger")


@signed
def of_another_image(r): r.sign(claimed=digest(b"another"))


@signed
def for_another_name(r): r.sign(name=REGISTRY + "/signed/by-ecdsa")


@signed
def changed_afterwards(r):
    content = payload(r.image_digest, r.name)
    r.put_signatures([r.layer(content.replace(b"null", b"{}"), openssl_signature("ecdsa", content))])


@signed
def bundle_by_stranger(r): r.refer(r.bundle("stranger"))


@signed
def attested_only(r): r.refer(r.bundle(predicate="https://slsa.dev/provenance/v1"))


@signed
def payload_endless(r):
    layer = r.layer(b"x", b"x")
    layer["size"] = 1 << 40
    r.put_signatures([layer])


@signed
def payload_longer_than_stated(r):
    layer = r.layer(bytes(1 << 20), b"x")
    layer["size"] = 10
    r.put_signatures([layer])


@signed
def many_signatures(r): r.put_signatures([r.layer(b"%d" % number, b"x") for number in range(3000)])


@signed
def many_referrers(r):
    r.refer(*({"mediaType": OCI_MANIFEST, "digest": digest(b"%d" % number), "size": 1, "artifactType": BUNDLE} for number in range(3000)))


@signed
def signatures_garbage(r): r.tag(tag_of(r.image_digest, ".sig"), OCI_MANIFEST, b"<html>")


@signed
def signatures_endless(r):
    def answer(handler, reference):
        if not reference.endswith(".sig"):
            return False
        handler.start_chunked(200)
        handler.write_chunks(b" " * 65536, forever=True)
        return True
    r.answer_manifest = answer


@signed
def signatures_stall(r):
    def answer(handler, reference):
        if not reference.endswith(".sig"):
            return False
        handler.start(200, {"Content-Length": "1000"})
        handler.write(b"{")
        handler.wait(30)
        return True
    r.answer_manifest = answer
