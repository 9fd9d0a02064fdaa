"""pod_server.py ADDRESS PORT MODE

Serves TCP connections: "echo" gives back what it gets, "digest" its SHA-256 when the other end has sent all.
As "client" it connects instead, sends its standard input and copies the answer."""

import hashlib
import socket
import sys
import threading


def echo(connection):
    while part := connection.recv(1 << 18):
        connection.sendall(part)


def digest(connection):
    sha256 = hashlib.sha256()
    while part := connection.recv(1 << 18):
        sha256.update(part)
    connection.sendall(sha256.hexdigest().encode())


def serve(listener, handle):
    while True:
        connection, _ = listener.accept()

        def run(connection=connection):
            with connection:
                handle(connection)

        threading.Thread(target=run, daemon=True).start()


def client(address, port):
    with socket.create_connection((address, port)) as connection:

        def send():
            while part := sys.stdin.buffer.read(1 << 18):
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        while part := connection.recv(1 << 18):
            sys.stdout.buffer.write(part)
        sender.join()


def main():
    address, port, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if mode == "client":
        client(address, port)
        return
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family) as listener:
        serve(listener, {"echo": echo, "digest": digest}[mode])


main()
