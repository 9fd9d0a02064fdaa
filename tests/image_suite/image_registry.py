"""A registry on loopback of the images of correct_images, as NAME/FORM, and the repositories of hostile_images.

usage: image_registry.py CERTIFICATE KEY

5001 is the registry by http, 5003 by https; 5002 is another host to which it redirects. /log gives the requests since
/reset, as JSON.
"""

import functools
import http.server
import ssl
import sys
import threading
import time

from correct_images import FORMS, LAYERS
import signed_images  # noqa: F401  adds its repositories
from hostile_images import REPOSITORIES, Repository
from images import OCI_INDEX, Image, dump

PORT, OTHER_PORT, TLS_PORT = 5001, 5002, 5003
BASIC = "Basic dmlzaXRvcjpvcGVuLXNlc2FtZQ=="  # visitor:open-sesame
TOKEN = "Bearer good-token"
log, lock = [], threading.Lock()


@functools.cache
def repository_of(name):
    if name in REPOSITORIES:
        return REPOSITORIES[name]()
    image, _, form = name.partition("/")
    if image in LAYERS and form in FORMS:
        return Repository(Image(*LAYERS[image](), **FORMS[form]))
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with lock:
            log.append({"port": self.server.server_port, "path": self.path, "at": time.monotonic(),
                        **{name.lower(): self.headers[name] for name in ("Authorization", "Range", "X-Secret") if self.headers[name]}})
        try:
            self.route()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def route(self):
        path = self.path.partition("?")[0]
        if path == "/log":
            self.answer(200, dump([line for line in log if line["path"] not in ("/log", "/reset")]))
        elif path == "/reset":
            log.clear()
            repository_of.cache_clear()
            self.answer(200, b"")
        elif path.startswith("/token"):
            self.give_token(path)
        elif path.startswith("/blobs/"):
            _, _, name, blob = path.split("/")
            self.answer(200, repository_of(name).blobs[blob])
        else:
            for kind in ("manifests", "blobs", "referrers"):
                name, found, reference = path.removeprefix("/v2/").rpartition(f"/{kind}/")
                if found:
                    with lock:
                        repository = repository_of(name)
                    return self.give(repository, kind, reference) if repository else self.answer(404, b"")
            self.answer(200, b"{}")

    def give(self, repository, kind, reference):
        if repository.challenge and self.headers["Authorization"] not in (BASIC, TOKEN):
            return self.answer(401, b"", {"WWW-Authenticate": repository.challenge})
        if kind == "referrers":
            index = repository.referrers.get(reference)
            return self.answer(200, index, {"Content-Type": OCI_INDEX}) if index is not None else self.answer(404, b"")
        if kind == "manifests" and not repository.answer_manifest(self, reference):
            media_type, content = repository.manifests.get(reference, (None, None))
            return self.answer(200, content, {"Content-Type": media_type}) if content is not None else self.answer(404, b"")
        if kind == "blobs" and not repository.answer_blob(self, reference):
            content = repository.blobs.get(reference)
            return self.answer(200, content) if content is not None else self.answer(404, b"")
        return None

    def give_token(self, path):
        if path.endswith("endless"):
            self.start_chunked(200)
            self.write_chunks(b" " * 65536, forever=True)
        elif path.endswith("injecting"):
            self.answer(200, dump({"token": "x\r\nX-Injected: yes"}))
        elif path.endswith("useless"):
            self.answer(200, dump({"token": "bad-token"}))
        elif self.headers["Authorization"] == BASIC:
            self.answer(200, dump({"token": TOKEN.removeprefix("Bearer ")}))
        else:
            self.answer(401, b"")

    # What repositories use.

    def start(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, status, body, headers=None):
        self.start(status, {"Content-Length": str(len(body)), **(headers or {})})
        self.write(body)

    def redirect(self, target):
        self.answer(307, b"", {"Location": target})

    def write(self, data):
        """Whether the client is still there."""
        try:
            self.wfile.write(data)
            return True
        except OSError:
            self.close_connection = True
            return False

    def start_chunked(self, status):
        self.start(status, {"Transfer-Encoding": "chunked"})

    def write_chunks(self, data, forever):
        chunk = b"%x\r\n%s\r\n" % (len(data), data)
        while self.write(chunk) and forever:
            pass

    def wait(self, seconds):
        """Until the client has gone, but not longer."""
        self.close_connection = True
        self.connection.settimeout(seconds)
        try:
            self.connection.recv(1)
        except OSError:
            pass

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, address):
        pass  # clients that refuse the certificate


def serve(port, context=None):
    server = Server(("127.0.0.1", port), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[1], sys.argv[2])
serve(OTHER_PORT)
serve(TLS_PORT, tls)
serve(PORT)
