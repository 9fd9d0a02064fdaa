#!/usr/bin/env python3
"""Cuts the power of a node's disk, or of the whole machine, while images come and go, and checks what is left.

usage: cuts.py disk NODE SEED CUTS FILE-SYSTEM     a fast node, whose store lies on a disk of its own
       cuts.py machine NODE SEED CUTS              a full node that was booted with an honest disk

Every violation is printed with the seed that repeats its cut; the last lines are "cuts: N, violations: N" and "N passed,
N failed, 0 skipped", where each cut is one test, and so is a clean reboot of a machine before the first one.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
NODE = os.path.join(os.path.dirname(HERE), "node")
ON_NODE = "/opt/power_suite/power_node.py"
STORE = "/var/lib/cri-nspawn/images"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
DISK_BYTES = 3 << 30


class Load:
    """What runs on the node until the cut, and what it has told of images: which must be there and which must not. Calls for
    one image come one after the other."""

    def __init__(self, node, seed, durable):
        self.present, self.absent = set(durable), set()
        self.acknowledged = 0
        self.over = False  # what is acknowledged from now on may have come after the cut
        self.works = threading.Event()
        self.process = subprocess.Popen([NODE, "exec", node, "--", "python3", ON_NODE, "load", str(seed)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                return  # cut off
            self.works.set()
            image, removes, phase = event["image"], event["op"] in ("remove", "use"), event["phase"]
            if phase == "done" and self.over:
                phase = "failed"
            self.acknowledged += phase == "done"
            if removes or phase != "failed":
                self.absent.discard(image)
            if removes:
                self.present.discard(image)
                if phase == "done":
                    self.absent.add(image)
            elif event["op"] == "import" and phase == "done":
                self.present.add(image)

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.reader.join()


class Cutter:
    def __init__(self, node, seed, count):
        self.node, self.seed, self.count = node, seed, count
        self.durable = []
        self.tests = count
        self.violations = self.failed = 0
        self.images = 0

    def on_node(self, *command, text=None, demand=True):
        done = subprocess.run([NODE, "exec", self.node, "--", *command], input=text or "", capture_output=True, text=True, check=False)
        if demand and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def control(self, *commands):
        return subprocess.run([sys.executable, os.path.join(HERE, "disk_control.py"), self.socket, *commands], check=True,
                              capture_output=True, text=True).stdout.splitlines()

    def settle(self):
        """After a clean stop of the daemon everything is durable."""
        self.on_node("systemctl", "restart", "cri-nspawn")

    def round(self, number):
        seed = f"{self.seed}-{number}"
        choice = random.Random(seed)
        load = Load(self.node, seed, self.durable)
        # Short ones meet pulls in their first moments, long ones the syncs that begin 2 to 10 s after a pull.
        load.works.wait(60)
        seconds = self.time_of_cut(choice)
        time.sleep(seconds)
        # Most cuts come while something is written: everybody syncs so often that a cut by the clock finds little unflushed.
        written = f" {int(10 ** choice.uniform(0, 3.7))}"
        order = f"cut {choice.randrange(1 << 30)}" + choice.choice(["", written, written, written])
        how = self.cut(choice, load, order)
        found = self.look()
        expected = {"present": sorted(load.present), "absent": sorted(load.absent),
                    "pull": f"127.0.0.1:5000/power/image{choice.randrange(self.images)}:latest"}
        answer = json.loads(self.on_node("python3", ON_NODE, "check", text=json.dumps(expected)).splitlines()[-1])
        found += answer["violations"]
        self.report(f"in cut {number} of seed {self.seed}", found)
        print(f"cut {number:3} after {seconds:5.2f} s and {load.acknowledged} calls: {how}; {len(load.present)} images had to be there, "
              f"{len(load.absent)} not", flush=True)
        if found:
            print(self.on_node("journalctl", "-q", "-u", "cri-nspawn", "-n", "30", "-o", "short-precise", "--no-pager", demand=False), flush=True)
        self.settle()
        self.durable = answer["listed"]

    def report(self, when, found):
        for text in found:
            print(f"VIOLATION {when}: {text}", flush=True)
        self.violations += len(found)
        self.failed += bool(found)

    def look(self):
        """What else is wrong."""
        return []

    def run(self):
        print(f"seed {self.seed}", flush=True)
        self.images = int(self.on_node("sh", "-c", "ls -d /var/tmp/power/image*.tar | wc -l"))
        self.prepare()
        try:
            for number in range(self.count):
                self.round(number)
        finally:
            self.finish()
        print(f"cuts: {self.count}, violations: {self.violations}")
        print(f"{self.tests - self.failed} passed, {self.failed} failed, 0 skipped", flush=True)

    def prepare(self):
        """Before the first cut."""

    def finish(self):
        """After the last one."""


class DiskCutter(Cutter):
    """The machine stays on and sees errors, until its disk comes back. Every other time the daemon believes that there was
    another boot: then it is the power loss of a machine; else that of a disk alone. The store is on a loop device over a
    file of FUSE, behind which the disk server is."""

    def __init__(self, node, seed, count, file_system):
        super().__init__(node, seed, count)
        self.file_system = file_system
        self.folder = tempfile.mkdtemp(dir="/var/tmp")
        self.socket = f"{self.folder}/control"
        self.processes = []
        self.device = None

    def time_of_cut(self, choice):
        return choice.choice([choice.uniform(0.2, 2), choice.uniform(0.2, 5), choice.uniform(2, 9)])

    def prepare(self):
        image, served = f"{self.folder}/disk", f"{self.folder}/served"
        with open(image, "wb") as file:
            file.truncate(DISK_BYTES)
        with open(served, "wb"):
            pass
        self.processes.append(subprocess.Popen([sys.executable, os.path.join(HERE, "disk_server.py"), image, f"{self.folder}/nbd", self.socket]))
        while not (os.path.exists(self.socket) and os.path.exists(f"{self.folder}/nbd")):
            time.sleep(0.05)
        self.processes.append(subprocess.Popen([
            "qemu-storage-daemon", "--blockdev", f"driver=nbd,node-name=disk,server.type=unix,server.path={self.folder}/nbd",
            "--export", f"type=fuse,id=disk,node-name=disk,mountpoint={served},writable=on"]))
        while os.path.getsize(served) == 0:
            time.sleep(0.05)
        self.attach()
        subprocess.run([f"mkfs.{self.file_system}", "-q", self.device], check=True)
        self.on_node("systemctl", "stop", "cri-nspawn")
        # nspawn has mounted a file there that is deleted since, over which nothing can be mounted.
        self.on_node("sh", "-c", f"rm -rf {STORE}; mkdir -p {STORE}; cp {BOOT_ID} /run/boot_id; umount {BOOT_ID}; mount --bind /run/boot_id {BOOT_ID}")
        self.mount()
        self.on_node("systemctl", "start", "cri-nspawn")
        with open(f"{self.folder}/pod.json", "w", encoding="ascii") as file:
            json.dump({"metadata": {"name": "holder", "namespace": "power", "uid": "0"}}, file)
        subprocess.run([NODE, "copy", f"{self.folder}/pod.json", f"{self.node}:/root/holder.json"], check=True)
        self.on_node("crictl", "runp", "/root/holder.json")

    def attach(self):
        self.device = subprocess.run(["losetup", "--find", "--show", f"{self.folder}/served"], check=True, capture_output=True,
                                     text=True).stdout.strip()

    def mount(self):
        minor = self.device.removeprefix("/dev/loop")
        self.on_node("sh", "-c", f"rm -f /dev/power; mknod /dev/power b 7 {minor}; mount -t {self.file_system} /dev/power {STORE}")

    def cut(self, choice, load, order):
        answer = json.loads(self.control(order)[0])
        load.over = True
        load.end()
        # A daemon that is killed does not know that its disk has failed; one that is stopped tries to sync.
        ended = choice.choice(["killed", "stopped"])
        if ended == "killed":
            self.on_node("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "cri-nspawn")
        self.on_node("systemctl", "stop", "cri-nspawn")
        self.on_node("umount", STORE)
        subprocess.run(["losetup", "-d", self.device], check=True)
        self.control("on")
        self.attach()
        self.mount()
        rebooted = choice.random() < 0.5
        if rebooted:
            self.on_node("sh", "-c", "cat >/run/boot_id", text="%08x-0000-4000-8000-000000000000\n" % choice.randrange(1 << 32))
        self.on_node("systemctl", "start", "cri-nspawn", demand=False)
        return f"{self.file_system}, {answer['kind']} ({answer['kept']} of {answer['unflushed']} blocks kept), daemon {ended}, " \
               f"{'as after a reboot' if rebooted else 'the disk alone'}"

    def finish(self):
        self.on_node("crictl", "rmp", "-a", "-f", demand=False)
        self.on_node("systemctl", "stop", "cri-nspawn", demand=False)
        self.on_node("umount", STORE, BOOT_ID, demand=False)
        if self.device:
            subprocess.run(["losetup", "-d", self.device], check=False)
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        subprocess.run(["rm", "-rf", self.folder], check=False)
        self.on_node("systemctl", "start", "cri-nspawn", demand=False)


class MachineCutter(Cutter):
    """The machine goes down with its disk, and boots."""

    def time_of_cut(self, choice):
        return choice.choice([choice.uniform(1, 10), choice.uniform(1, 30)])

    def cut(self, choice, load, order):
        answer = subprocess.run([NODE, "power-cycle", self.node, *order.split()[1:]], check=True, capture_output=True, text=True)
        load.over = True
        load.end()
        kept = json.loads(answer.stdout.splitlines()[0])
        return f"machine, {kept['kind']} ({kept['kept']} of {kept['unflushed']} blocks kept)"

    def prepare(self):
        self.settle()
        subprocess.run([NODE, "reboot", self.node], check=True)
        self.tests += 1
        self.report("after a reboot", self.look("reboot"))
        print("rebooted once without a cut", flush=True)
        self.settle()

    def look(self, after="power-loss"):
        return json.loads(self.on_node("bash", "/opt/power_suite/after_power_loss", after).splitlines()[-1])

    def settle(self):
        super().settle()
        self.on_node("bash", "/opt/power_suite/after_power_loss", "prepare")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    kind, node, seed, count, *more = sys.argv[1:]
    cutter = DiskCutter(node, seed, int(count), *more) if kind == "disk" else MachineCutter(node, seed, int(count))
    cutter.run()


main()
