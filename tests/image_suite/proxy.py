"""An HTTP proxy on 127.0.0.1:3128: CONNECT, and requests with a whole URL.

It alone knows the names below "behind.test" (this machine), and tells in its log what it was asked for.

usage: proxy.py LOG
"""

import http.server
import selectors
import socket
import sys
import urllib.parse

NAMES = ".behind.test"


def connect(authority, default_port):
    host, _, port = authority.partition(":")
    if not host.endswith(NAMES):
        raise OSError("not a name behind this proxy")
    return socket.create_connection(("127.0.0.1", int(port or default_port)), timeout=10)


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def note(self):
        with open(sys.argv[1], "a", encoding="utf-8") as log:
            log.write(f"{self.command} {self.path}\n")

    def do_CONNECT(self):
        self.note()
        try:
            upstream = connect(self.path, 443)
        except OSError as error:
            return self.send_error(502, str(error))
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        return self.carry(upstream)

    def do_GET(self):
        self.note()
        url = urllib.parse.urlsplit(self.path)
        try:
            upstream = connect(url.netloc, 80)
        except OSError as error:
            return self.send_error(502, str(error))
        target = url._replace(scheme="", netloc="").geturl()
        headers = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items() if name.lower() != "connection")
        upstream.sendall(f"GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode())
        self.close_connection = True
        return self.carry(upstream)

    def carry(self, upstream):
        """Bytes both ways until the upstream, or the client, has no more."""
        with upstream, selectors.DefaultSelector() as ready:
            ready.register(self.connection, selectors.EVENT_READ, upstream)
            ready.register(upstream, selectors.EVENT_READ, self.connection)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 3128), Proxy).serve_forever()
