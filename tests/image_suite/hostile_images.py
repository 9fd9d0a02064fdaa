"""What a registry may do to its clients, by the name of the repository that does it.

Each function makes one repository. Image, Repository and what they hold are plain data; a repository that misbehaves on
the wire has functions that answer instead.
"""

import time

import archives
from archives import CHARACTER, directory, entry, gzipped, hard_link, header, opaque, symlink, tar, zstd_frame
from images import OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Image, digest, dump

REPOSITORIES = {}
GIB = 1 << 30
OTHER_HOST = "http://127.0.0.1:5002"


class Repository:
    """manifests: by tag and digest, (media type, bytes). The tag "latest" is what the tests pull.

    answer_manifest(handler, reference) and answer_blob(handler, digest) may answer themselves; then they return True.
    """

    def __init__(self, image=None, blobs=None):
        self.manifests, self.blobs = {}, dict(blobs or {})
        self.referrers = {}  # by digest, the index of what refers to it; without any there is no such API
        self.answer_manifest = self.answer_blob = lambda handler, name: False
        self.challenge = None  # what a request without credentials is answered with
        if image is not None:
            self.tag("latest", image.types[0], image.manifest())
            self.blobs.update(image.blobs)
            self.layers = [layer["digest"] for layer in image.layers]

    def tag(self, name, media_type, content):
        self.manifests[name] = self.manifests[digest(content)] = (media_type, content)
        return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def repository(make):
    REPOSITORIES[make.__name__.replace("_", "-")] = make
    return make


def layers(name, *tars, **options):
    """A repository with an image of these layers."""
    REPOSITORIES[name] = lambda: Repository(Image(*(tar_ if isinstance(tar_, bytes) else tar_() for tar_ in tars), **options))


def plain_image(size=300_000):
    return Image(tar(entry("file", data=bytes(range(250)) * (size // 250))), pack=bytes, layer_type=OCI_LAYER)


# ---------------------------------------------------------------------------------------------------------------------
# Archives

layers("good", tar(entry("file", data=b"good")))
layers("parent-directories", tar(entry("../../../../../../../etc/escaped", data=b"x")))
layers("parent-directories-inside", tar(directory("a"), entry("a/../../../../../../etc/escaped", data=b"x")))
layers("absolute-link", tar(symlink("out", "/etc"), entry("out/escaped", data=b"x")))
layers("relative-link", tar(directory("a"), symlink("a/out", "../../../../../../../etc"), entry("a/out/escaped", data=b"x")))
layers("chained-links", tar(symlink("one", "two"), symlink("two", "three/.."), symlink("three", ".."), entry("one/escaped", data=b"x")))
layers("looping-links", tar(symlink("one", "two"), symlink("two", "one"), entry("one/escaped", data=b"x")))
layers("replaced-parent", tar(directory("a"), entry("a/b", data=b"x"), symlink("a", "/etc"), entry("a/escaped", data=b"x")))
layers("process-link", tar(symlink("out", "/proc/self/root/etc"), entry("out/escaped", data=b"x")))
layers("folder-through-link", tar(symlink("out", "/etc"), directory("out/escaped")))
layers("opaque-through-link", tar(symlink("out", "/etc"), opaque("out")))
layers("whiteout-through-link", tar(symlink("out", "/etc"), entry("out/.wh.passwd")))
layers("lower-link", tar(symlink("out", "/etc"), symlink("up", "../../../../../../etc")),
       tar(entry("out/escaped", data=b"x"), entry("up/escaped", data=b"x")))
layers("hard-link-absolute", tar(hard_link("shadow", "/etc/shadow")))
layers("hard-link-relative", tar(directory("a"), hard_link("a/shadow", "../../../../../../../etc/shadow")))
layers("hard-link-through-link", tar(symlink("out", "/etc"), hard_link("shadow", "out/shadow")))
layers("hard-link-to-lower", tar(entry("file", data=b"x")), tar(hard_link("link", "file")))
layers("hard-link-to-directory", tar(directory("a"), hard_link("b", "a")))
layers("whiteout-of-itself", tar(directory("a"), entry("a/.wh..")))
layers("whiteout-of-parent", tar(directory("a"), entry("a/.wh...")))
layers("whiteout-of-nothing", tar(directory("a"), entry("a/.wh.")))
layers("raw-whiteout", tar(entry("passwd", CHARACTER, device=(0, 0))))
layers("root-is-link", tar(symlink("./", "/etc")))
layers("deep-folders", tar(entry("d/" * 600 + "file", style="gnu")))
layers("long-name", tar(entry("n" * 256)))
layers("long-path", tar(entry("/".join(["p" * 200] * 30))))
layers("owner-out-of-range", tar(entry("file", uid=1 << 32)))
layers("large-attribute", tar(entry("file", xattrs=[("user.large", b"v" * 100_000)])))
layers("large-pax-header", lambda: tar(archives.pax_header([(b"comment", b"c" * (30 << 20))]), entry("file")))
layers("negative-size", tar(entry("file", size=-512)))
layers("cut-off", tar(entry("file", data=bytes(100_000)))[:50_000])
layers("no-archive", b"<html>" * 1000)
layers("broken-gzip", tar(entry("file", data=bytes(range(256)) * 100)), pack=lambda data: gzipped(data)[:200] + b"\xff" * 50)
layers("broken-zstd", tar(entry("file")), pack=lambda data: zstd_frame([(3, 100, b"x" * 100)]), layer_type=OCI_LAYER + "+zstd")

# Bombs: each of these unpacks to far more than the 64 MiB that the suite's configuration allows.


def gzip_bomb(start, end):
    """The bytes of start, GiB of zeros, and end, from a few compressed megabytes."""
    zeros = gzipped(bytes(64 << 20))
    return lambda _: gzipped(start) + zeros * 64 + gzipped(end)


def zstd_bomb(start):
    repeated = (archives.ZSTD_REPEATED, archives.ZSTD_MOST, b"\0")
    return lambda _: zstd_frame([(archives.ZSTD_RAW, len(start), start)] + [repeated] * (8 * 4096))


def zstd_zeros(mib):
    """The archive with one file of zeros, whose compressed form is hardly larger than the file's header."""
    repeated = (archives.ZSTD_REPEATED, archives.ZSTD_MOST, b"\0")
    start = entry("zeros", size=mib << 20)
    return zstd_frame([(archives.ZSTD_RAW, len(start), start)] + [repeated] * (8 * mib)
                      + [(archives.ZSTD_REPEATED, 2 * archives.BLOCK, b"\0")])


layers("gzip-bomb", b"", pack=gzip_bomb(header(b"zeros", b"0", 4 * GIB), bytes(1024)), diff_ids=[digest(b"never reached")])
layers("zstd-bomb", b"", pack=zstd_bomb(header(b"zeros", b"0", 4 * GIB)), layer_type=OCI_LAYER + "+zstd",
       diff_ids=[digest(b"never reached")])
# Within the configured size, but too much for so small a layer; and what a small layer may hold.
layers("bomb-by-ratio", b"", pack=lambda _: zstd_zeros(48), layer_type=OCI_LAYER + "+zstd", diff_ids=[digest(b"never reached")])
layers("zeros", tar(entry("zeros", data=bytes(8 << 20))), pack=lambda _: zstd_zeros(8), layer_type=OCI_LAYER + "+zstd")
layers("bomb-of-files", b"", pack=lambda _: gzipped(entry("file", data=bytes(1 << 20))) * 4096, diff_ids=[digest(b"never reached")])
layers("bomb-behind-the-end", b"", pack=gzip_bomb(tar(entry("file", data=b"x")), b""), diff_ids=[digest(b"never reached")])
layers("sparse-bomb", tar(archives.pax_sparse_1_0(b"hole", 1 << 60, [((1 << 60) - 1, b"x")])))
layers("old-sparse-bomb", tar(archives.old_gnu_sparse(b"hole", 1 << 60, [])))
layers("many-files", lambda: tar(*(entry(f"{number}") for number in range(3001))))
layers("many-folders", lambda: tar(*(entry(f"{number}/" * 30 + "file", style="gnu") for number in range(101))))


# ---------------------------------------------------------------------------------------------------------------------
# Documents

def changed_manifest(name, change):
    """An image whose manifest is what change(manifest as a dictionary) makes of it."""
    def make():
        image = plain_image(1000)
        image.manifest()
        config = image.add(dump(image.config), image.types[1])
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": image.layers}
        content = change(document, image)
        made = Repository(blobs=image.blobs)
        made.tag("latest", OCI_MANIFEST, content if isinstance(content, bytes) else dump(content or document))
        return made
    REPOSITORIES[name] = make


def set_in(*path):
    """set_in("layers", 0, "size", VALUE)"""
    *way, last, value = path

    def change(document, _):
        for step in way:
            document = document[step]
        document[last] = value
    return change


def changed_config(name, change):
    def make():
        image = plain_image(1000)
        content = change(image.config)
        made = Repository()
        if isinstance(content, bytes):
            config = image.add(content, image.types[1])
            document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": image.layers}
            made.tag("latest", OCI_MANIFEST, dump(document))
            made.blobs.update(image.blobs)
            return made
        return Repository(image)
    REPOSITORIES[name] = make


FOUR_MIB = 4 << 20
changed_manifest("manifest-too-long", lambda document, _: document.update(annotations={"filling": "x" * FOUR_MIB}))
changed_manifest("manifest-just-fits", lambda document, _: dump(document).ljust(FOUR_MIB))
changed_manifest("manifest-deep", lambda document, _: dump({**document, "deep": 0})[:-2] + b"[" * 100_000 + b"]" * 100_000 + b"}")
changed_manifest("manifest-ambiguous", set_in("manifests", []))
changed_manifest("manifest-garbage", lambda *_: b"\x00\xff{[<html>")
changed_manifest("manifest-list", lambda *_: b"[]")
changed_manifest("manifest-schema-1", lambda *_: dump({"schemaVersion": 1, "fsLayers": [], "history": []}))
changed_manifest("manifest-path-digest", set_in("layers", 0, "digest", "sha256:../../../../../../etc/passwd"))
changed_manifest("manifest-other-algorithm", set_in("layers", 0, "digest", "md5:" + "0" * 32))
changed_manifest("manifest-negative-size", set_in("layers", 0, "size", -1))
changed_manifest("manifest-text-size", set_in("layers", 0, "size", "1000"))
changed_manifest("manifest-vast-size", set_in("layers", 0, "size", (1 << 64) - 1))
changed_manifest("manifest-null", set_in("layers", None))
changed_manifest("manifest-unknown-layer", set_in("layers", 0, "mediaType", "application/x-sh"))
changed_manifest("manifest-no-image", set_in("config", "mediaType", "application/vnd.cncf.helm.config.v1+json"))
changed_manifest("manifest-many-layers", lambda document, _: document.update(layers=document["layers"] * 5000))
changed_manifest("layer-size-small", lambda document, _: set_in("layers", 0, "size", 500)(document, _))
changed_manifest("layer-size-large", lambda document, _: set_in("layers", 0, "size", 5000)(document, _))
changed_manifest("config-size-small", set_in("config", "size", 10))
changed_manifest("config-size-large", set_in("config", "size", 1_000_000))
changed_manifest("config-too-long", set_in("config", "size", FOUR_MIB + 1))
changed_manifest("layer-foreign-link-local", lambda document, image: (
    image.blobs.pop(document["layers"][0]["digest"]),
    set_in("layers", 0, "urls", ["http://169.254.169.254/layer"])(document, image))[1])
changed_config("config-deep", lambda config: b'{"rootfs": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001)
changed_config("config-garbage", lambda config: b"\xff\xfe{}")
changed_config("config-no-root", lambda config: config.pop("rootfs") and None)
changed_config("config-few-layers", lambda config: config["rootfs"].update(diff_ids=[]))
changed_config("config-other-diff-id", lambda config: config["rootfs"].update(diff_ids=[digest(b"something else")]))
changed_config("config-path-diff-id", lambda config: config["rootfs"].update(diff_ids=["sha256:../../../../etc"]))
changed_config("config-other-platform", lambda config: config.update(os="windows"))


@repository
def index_nested():
    made = Repository(plain_image(1000))
    inner = made.tag("inner", *made.manifests["latest"])
    for depth in range(6):
        inner = made.tag(f"depth-{depth}", OCI_INDEX, dump({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [inner]}))
    made.manifests["latest"] = made.manifests["depth-5"]
    return made


@repository
def index_cyclic():
    """An index that names a digest under which the registry gives that same index."""
    made = Repository()
    content = dump({"schemaVersion": 2, "mediaType": OCI_INDEX,
                    "manifests": [{"mediaType": OCI_INDEX, "digest": digest(b"itself"), "size": 1}]})
    made.tag("latest", OCI_INDEX, content)
    made.manifests[digest(b"itself")] = (OCI_INDEX, content)
    return made


@repository
def index_wrong_size():
    made = Repository(plain_image(1000))
    inner = made.tag("inner", *made.manifests["latest"])
    made.tag("latest", OCI_INDEX, dump({"schemaVersion": 2, "manifests": [{**inner, "size": inner["size"] + 1}]}))
    return made


@repository
def index_other_platform():
    made = Repository(plain_image(1000))
    inner = made.tag("inner", *made.manifests["latest"])
    entries = [{**inner, "platform": {"os": "linux", "architecture": "s390x"}}]
    made.tag("latest", OCI_INDEX, dump({"schemaVersion": 2, "manifests": entries}))
    return made


@repository
def index_deep():
    made = Repository()
    made.tag("latest", OCI_INDEX, b'{"schemaVersion": 2, "manifests": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    return made


@repository
def manifest_wrong_digest():
    """Under the digest that is asked for there is another manifest."""
    made = Repository(plain_image(1000))
    made.manifests[digest(b"asked for")] = made.manifests["latest"]
    return made


@repository
def manifest_wrong_header():
    made = Repository(plain_image(1000))
    media_type, content = made.manifests["latest"]

    def answer(handler, reference):
        handler.answer(200, content, {"Content-Type": media_type, "Docker-Content-Digest": digest(b"another")})
        return True
    made.answer_manifest = answer
    return made


def spoiled(content):
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


@repository
def layer_wrong_digest():
    made = Repository(plain_image())
    made.blobs[made.layers[0]] = spoiled(made.blobs[made.layers[0]])
    return made


@repository
def config_wrong_digest():
    made = Repository(plain_image())
    config = next(name for name in made.blobs if name not in made.layers)
    made.blobs[config] = spoiled(made.blobs[config])
    return made


@repository
def one_bad_layer_of_three():
    made = Repository(Image(*(tar(entry(name, data=name.encode() * 1000)) for name in ("one", "two", "three"))))
    made.blobs[made.layers[2]] = spoiled(made.blobs[made.layers[2]])
    return made


# ---------------------------------------------------------------------------------------------------------------------
# On the wire

def on_layer(name):
    """The decorated function answers requests for the layer: answer(handler, content, times it was asked before)."""
    def decorate(answer):
        def make():
            made = Repository(plain_image())
            asked = []

            def answer_blob(handler, blob):
                if blob not in made.layers:
                    return False
                asked.append(blob)
                answer(handler, made.blobs[blob], len(asked) - 1)
                return True
            made.answer_blob = answer_blob
            return made
        REPOSITORIES[name] = make
        return answer
    return decorate


def on_manifest(name):
    def decorate(answer):
        def make():
            made = Repository(plain_image(1000))
            asked = []

            def answer_manifest(handler, reference):
                asked.append(reference)
                return answer(handler, made, len(asked) - 1) is not False
            made.answer_manifest = answer_manifest
            return made
        REPOSITORIES[name] = make
        return answer
    return decorate


def cut(handler, content, sent):
    """Promises all of the content and breaks off."""
    handler.start(200, {"Content-Length": str(len(content))})
    handler.write(content[:sent])
    handler.close_connection = True


def ranged(handler, content, first):
    handler.answer(206, content[first:], {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"})


@on_layer("layer-cut-off")
def _(handler, content, before):
    cut(handler, content, len(content) // 2 if before == 0 else 0)


@on_layer("layer-broken-off-once")
def _(handler, content, before):
    if before == 0:
        cut(handler, content, 100_000)
    else:
        ranged(handler, content, int(handler.headers["Range"].removeprefix("bytes=").rstrip("-")))


@on_layer("layer-broken-off-without-ranges")
def _(handler, content, before):
    if before < 2:
        cut(handler, content, 100_000 * (before + 1))
    else:
        handler.answer(200, content)


@on_layer("layer-range-too-far")
def _(handler, content, before):
    if before == 0:
        cut(handler, content, 100_000)
    else:
        ranged(handler, content, 200_000)


@on_layer("layer-range-of-another")
def _(handler, content, before):
    if before == 0:
        cut(handler, content, 100_000)
    else:
        ranged(handler, content[::-1], 100_000)


@on_layer("layer-endless")
def _(handler, content, before):
    handler.start_chunked(200)
    handler.write_chunks(content[:1000], forever=True)


@on_layer("layer-stalls")
def _(handler, content, before):
    handler.start(200, {"Content-Length": str(len(content))})
    handler.write(content[:100_000] if before == 0 else b"")
    handler.wait(30)


@on_layer("layer-drips")
def _(handler, content, before):
    handler.start(200, {"Content-Length": str(len(content))})
    while handler.write(content[:1]):
        time.sleep(0.1)


@on_layer("layer-busy-once")
def _(handler, content, before):
    if before == 0:
        handler.answer(429, b"", {"Retry-After": "1"})
    else:
        handler.answer(200, content)


@on_layer("layer-forbidden")
def _(handler, content, before):
    handler.answer(403, dump({"errors": [{"code": "DENIED", "message": "no\x1b[2Jsuch luck"}]}))


@on_layer("layer-missing")
def _(handler, content, before):
    handler.answer(404, b"")


@on_layer("layer-redirect-elsewhere")
def _(handler, content, before):
    handler.redirect(f"{OTHER_HOST}/blobs/layer-redirect-elsewhere/{digest(content)}")


@on_layer("layer-redirect-loop")
def _(handler, content, before):
    handler.redirect(handler.path)


@on_layer("layer-redirect-to-file")
def _(handler, content, before):
    handler.redirect("file:///etc/passwd")


@on_layer("layer-redirect-with-password")
def _(handler, content, before):
    handler.redirect("http://user:secret-word@127.0.0.1:5002/x")


@on_layer("layer-redirect-to-link-local")
def _(handler, content, before):
    handler.redirect("http://169.254.169.254/latest/meta-data/")


@on_layer("layer-redirect-to-mapped-link-local")
def _(handler, content, before):
    handler.redirect("http://[::ffff:169.254.169.254]/latest/meta-data/")


@on_layer("layer-redirect-to-nowhere")
def _(handler, content, before):
    handler.answer(307, b"")


@on_manifest("manifest-endless")
def _(handler, made, before):
    handler.start_chunked(200)
    handler.write_chunks(b" " * 65536, forever=True)


@on_manifest("headers-endless")
def _(handler, made, before):
    handler.start(200, {f"X-{number}": "x" * 1000 for number in range(1000)})


@on_manifest("error-endless")
def _(handler, made, before):
    handler.start_chunked(500)
    handler.write_chunks(b"out of order " * 1000, forever=True)


@on_manifest("error-always")
def _(handler, made, before):
    handler.answer(500, b"out of order")


@on_manifest("busy-always")
def _(handler, made, before):
    handler.answer(429, dump({"errors": [{"code": "TOOMANYREQUESTS", "message": "come back tomorrow"}]}))


@on_manifest("busy-once")
def _(handler, made, before):
    if before > 0:
        return False
    handler.answer(429, b"", {"Retry-After": "1"})
    return True


@on_manifest("hangs")
def _(handler, made, before):
    handler.wait(30)


@on_manifest("manifest-redirect-to-http")
def _(handler, made, before):
    handler.redirect("http://127.0.0.1:5001/v2/good/manifests/latest")


def private(name, challenge, redirected=False):
    """A repository that demands credentials."""
    def make():
        made = Repository(plain_image())
        made.challenge = challenge
        if redirected:
            def answer_blob(handler, blob):
                handler.redirect(f"{OTHER_HOST}/blobs/{name}/{blob}")
                return True
            made.answer_blob = answer_blob
        return made
    REPOSITORIES[name] = make


private("private", 'Basic realm="tests"')
private("private-redirected", 'Basic realm="tests"', redirected=True)
private("token-redirected", 'Bearer realm="http://127.0.0.1:5001/token",service="tests"', redirected=True)
private("token-endless", 'Bearer realm="http://127.0.0.1:5001/token/endless"')
private("token-with-header", 'Bearer realm="http://127.0.0.1:5001/token/injecting"')
private("token-from-link-local", 'Bearer realm="http://169.254.169.254/token"')
private("token-from-file", 'Bearer realm="file:///etc/passwd"')
private("token-never-enough", 'Bearer realm="http://127.0.0.1:5001/token/useless"')
private("challenge-garbage", 'Bearer realm="' + ',,"=' * 500)
