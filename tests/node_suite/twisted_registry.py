"""A registry that passes requests on to a real one, and spoils the answers in one way.

usage: twisted_registry.py KIND PORT REAL-PORT
"""

import http.server
import sys
import time
import urllib.error
import urllib.request

KIND, PORT, REAL_PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
LARGE = 100_000  # a blob of this size is a layer, a smaller one a configuration


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        if self.path == "/healthy":
            self.answer(200, {}, b"")
        elif KIND == "garbage":
            self.answer(200, {"Content-Type": "application/json"}, b"\x00\xff{[<html>")
        elif KIND == "error":
            self.answer(500, {}, b"out of order")
        elif KIND == "hang":
            time.sleep(60)
        else:
            self.pass_on()

    def pass_on(self):
        request = urllib.request.Request(f"http://127.0.0.1:{REAL_PORT}{self.path}", method=self.command)
        for name in ("Accept", "Range"):
            if self.headers[name]:
                request.add_header(name, self.headers[name])
        try:
            answer = urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            answer = error
        body = answer.read()
        headers = {n: answer.headers[n] for n in ("Content-Type", "Docker-Content-Digest") if answer.headers[n]}
        if self.command == "HEAD":
            headers["Content-Length"] = answer.headers["Content-Length"]
        elif "/blobs/" in self.path and answer.status == 200:
            layer = len(body) > LARGE
            if (KIND == "wrong-layer" and layer) or (KIND == "wrong-config" and not layer):
                body = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
            elif KIND == "truncated-layer" and layer:
                self.close_connection = True
                headers["Content-Length"] = str(len(body))
                body = body[: len(body) // 2]
        self.answer(answer.status, headers, body)

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
