#!/usr/bin/env python3
"""A disk with a volatile write cache, served by the NBD protocol, whose power can be cut.

usage: disk_server.py IMAGE SOCKET CONTROL

What is written stays in memory until it is flushed (NBD_CMD_FLUSH, or FUA for one write); only then it is in IMAGE, a raw
file. The control socket takes lines and answers each with one:

  cut SEED [BLOCKS]   What was not flushed is lost but for a part that the seed chooses, in blocks of 4 KiB, the sector of
                      today's disks: nothing, everything, the first so many blocks that were written, or any blocks in any
                      of the states that they had since the last flush. The disk then answers with errors. With BLOCKS it
                      waits for so many to be written, though not for long: power fails in the midst of things.
  on                  The disk works again.
"""

import json
import os
import random
import socket
import struct
import sys
import threading

BLOCK = 4096
OPTION_MAGIC, REPLY_MAGIC, REQUEST, SIMPLE_REPLY = 0x49484156454F5054, 0x3E889045565A9, 0x25609513, 0x67446698
EXPORT_NAME, ABORT, INFO, GO = 1, 2, 6, 7
ACK, INFO_REPLY, UNSUPPORTED = 1, 3, 0x80000001
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
FUA = 1
EIO, EINVAL = 5, 22
MOST_BYTES = 32 << 20
MOST_SECONDS = 20


class Disk:
    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR)
        self.size = os.fstat(self.file).st_size
        self.lock = threading.Lock()
        self.on = True
        self.states = {}  # block: what it was since the last flush, oldest first
        self.order = []  # blocks as they were written
        self.armed = None  # a seed, and how many blocks are to be written before the cut
        self.answer = None
        self.was_cut = threading.Condition(self.lock)

    def read_block(self, block):
        states = self.states.get(block)
        return states[-1] if states else os.pread(self.file, BLOCK, block * BLOCK)

    def read(self, offset, length):
        data = os.pread(self.file, length, offset)
        if not self.states:
            return data
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        newer = [block for block in range(first, last + 1) if block in self.states]
        if not newer:
            return data
        out = bytearray(data)
        for block in newer:
            start = max(offset, block * BLOCK)
            end = min(offset + length, (block + 1) * BLOCK)
            out[start - offset:end - offset] = self.states[block][-1][start - block * BLOCK:end - block * BLOCK]
        return out

    def write(self, offset, data, through):
        at = 0
        while at < len(data):
            block, within = divmod(offset + at, BLOCK)
            piece = bytes(data[at:at + BLOCK - within])
            at += len(piece)
            if self.armed:
                self.armed[1] -= 1
                if self.armed[1] < 0:
                    self.cut(self.armed[0])
                    return False
            if len(piece) < BLOCK:
                old = self.read_block(block)
                piece = old[:within] + piece + old[within + len(piece):]
            if through:
                os.pwrite(self.file, piece, block * BLOCK)
                self.states.pop(block, None)
            else:
                self.states.setdefault(block, []).append(piece)
                self.order.append(block)
        return True

    def flush(self):
        for block in sorted(self.states):
            os.pwrite(self.file, self.states[block][-1], block * BLOCK)
        self.forget()

    def forget(self):
        self.states.clear()
        self.order.clear()

    def cut(self, seed):
        choice = random.Random(seed)
        kind = choice.choice(["nothing", "everything", "first", "any", "any", "any"])
        kept = 0
        if kind == "first":
            order = self.order[:choice.randrange(len(self.order) + 1)]
            states = {block: iter(states) for block, states in self.states.items()}
            # A write-through in between has taken away the states before it.
            latest = {block: state for block in order if (state := next(states.get(block, iter(())), None)) is not None}
        elif kind == "any":
            share = choice.random()
            latest = {block: choice.choice(states) for block, states in sorted(self.states.items()) if choice.random() < share}
        else:
            latest = {block: states[-1] for block, states in self.states.items()} if kind == "everything" else {}
        for block, state in latest.items():
            os.pwrite(self.file, state, block * BLOCK)
            kept += 1
        self.answer = {"kind": kind, "unflushed": len(self.states), "kept": kept}
        self.forget()
        self.on = False
        self.armed = None
        self.was_cut.notify_all()

    def cut_later(self, seed, blocks):
        self.armed = [seed, blocks]
        if not self.was_cut.wait_for(lambda: not self.on, MOST_SECONDS):
            self.cut(seed)


def receive(connection, length):
    data = bytearray(length)
    view = memoryview(data)
    while view:
        got = connection.recv_into(view)
        if got == 0:
            raise ConnectionError("the client has gone")
        view = view[got:]
    return data


def negotiate(connection, disk):
    """The fixed newstyle handshake, without structured replies. False when the client only wanted to ask."""
    flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA
    connection.sendall(b"NBDMAGIC" + struct.pack(">QH", OPTION_MAGIC, 3))
    no_zeroes = struct.unpack(">I", receive(connection, 4))[0] & 2
    while True:
        magic, option, length = struct.unpack(">QII", receive(connection, 16))
        if magic != OPTION_MAGIC or length > 4096:
            raise ConnectionError("no option of the protocol")
        receive(connection, length)

        def reply(kind, data=b"", option=option):
            connection.sendall(struct.pack(">QIII", REPLY_MAGIC, option, kind, len(data)) + data)

        if option == EXPORT_NAME:
            connection.sendall(struct.pack(">QH", disk.size, flags) + (b"" if no_zeroes else bytes(124)))
            return True
        if option == ABORT:
            reply(ACK)
            return False
        if option in (INFO, GO):
            reply(INFO_REPLY, struct.pack(">HQH", 0, disk.size, flags))
            reply(INFO_REPLY, struct.pack(">HIII", 3, 512, BLOCK, MOST_BYTES))
            reply(ACK)
            if option == GO:
                return True
        else:
            reply(UNSUPPORTED)


def serve(connection, disk):
    if not negotiate(connection, disk):
        return
    while True:
        magic, flags, kind, cookie, offset, length = struct.unpack(">IHHQQI", receive(connection, 28))
        if magic != REQUEST or kind == DISCONNECT:
            return
        data = receive(connection, length) if kind == WRITE else b""
        error, answer = 0, b""
        with disk.lock:
            if not disk.on:
                error = EIO
            elif kind in (READ, WRITE) and (length > MOST_BYTES or offset + length > disk.size):
                error = EINVAL
            elif kind == READ:
                answer = disk.read(offset, length)
            elif kind == WRITE:
                error = 0 if disk.write(offset, data, flags & FUA) else EIO
            elif kind == FLUSH:
                disk.flush()
            else:
                error = EINVAL
        connection.sendall(struct.pack(">IIQ", SIMPLE_REPLY, error, cookie))
        if answer:
            connection.sendall(answer)


def control(connection, disk):
    for line in connection.makefile():
        words = line.split()
        with disk.lock:
            answer = {}
            if words[0] == "on":
                disk.on = True
            else:
                disk.cut_later(int(words[1]), int(words[2])) if len(words) > 2 else disk.cut(int(words[1]))
                answer = disk.answer
        connection.sendall(json.dumps(answer).encode() + b"\n")


def accept(path, serve_one, disk):
    def one(connection):
        try:
            serve_one(connection, disk)
        except (ConnectionError, BrokenPipeError):
            pass
        finally:
            connection.close()

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen()
    os.rename(path + ".new", path)  # whoever sees it can connect
    while True:
        threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()


def main():
    image, requests, controls = sys.argv[1:]
    disk = Disk(image)
    threading.Thread(target=accept, args=(controls, control, disk), daemon=True).start()
    accept(requests, serve, disk)


main()
