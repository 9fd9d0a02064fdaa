"""echo.py serve PORT

sends back what comes to the port by TCP and UDP, IPv4 and IPv6.

echo.py ask ADDRESS PORT PROTOCOL

fails unless something that is sent there (PROTOCOL: tcp or udp) comes back within two seconds."""

import selectors
import socket
import sys

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def serve(port):
    ready = selectors.DefaultSelector()
    for kind in KINDS.values():
        listener = socket.socket(socket.AF_INET6, kind)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            listener.listen()
        ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj.type == socket.SOCK_STREAM:
                connection, _ = key.fileobj.accept()
                with connection:
                    connection.sendall(connection.recv(100))
            else:
                key.fileobj.sendto(*key.fileobj.recvfrom(100))


def ask(address, port, protocol):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, KINDS[protocol]) as client:
        client.settimeout(2)
        client.connect((address, port))
        client.send(b"hello")
        if client.recv(100) != b"hello":
            sys.exit("what came back is something else")


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    ask(sys.argv[2], int(sys.argv[3]), sys.argv[4])
