"""Pulls images from the node's own registry with one runtime after the other, in turn, and measures. Runs on the node.

usage: pull_images.py RESULT RUNS IMAGES RUNTIMES   (lists with commas)

Each pull starts with an empty store, a fresh daemon and nothing left to write to disk. What was pulled is kept aside,
and goes with the node: ext4 takes long to find an inode among those that were freed in the last minutes. RESULT becomes a JSON list with
one object for each pull: seconds until the pull is answered, seconds until everything is on disk, CPU seconds (of the
daemon's whole unit, or of the commands), peak memory above that of the idle daemon in MiB (resident set of the daemon,
or of the largest command), MiB written to files.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request

REGISTRY = "127.0.0.1:5000"
MIB = 1 << 20
ASIDE = "/var/lib/bench-aside"


def put_aside(folder):
    if os.path.exists(folder):
        os.makedirs(ASIDE, exist_ok=True)
        os.rename(folder, os.path.join(ASIDE, str(time.monotonic_ns())))


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


class Daemon:
    """A CRI runtime that is a systemd service."""

    def __init__(self, unit, socket, store):
        self.unit, self.socket, self.store = unit, socket, store
        self.pid = self.cgroup = None

    def stop(self):
        run("systemctl", "stop", self.unit)

    def clear(self):
        put_aside(self.store)

    def start(self):
        run("systemctl", "start", self.unit)
        for _ in range(100):
            if subprocess.run(["crictl", *self._endpoint(), "images", "-q"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0:
                break
            time.sleep(0.1)
        shown = subprocess.run(["systemctl", "show", "-P", "MainPID", "-P", "ControlGroup", self.unit], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.split()
        self.pid = next(word for word in shown if word.isdigit())
        self.cgroup = next(word for word in shown if word.startswith("/"))

    def _endpoint(self):
        return ["-r", f"unix://{self.socket}", "-i", f"unix://{self.socket}", "-t", "10m"]

    def _cpu(self):
        with open(f"/sys/fs/cgroup{self.cgroup}/cpu.stat", encoding="ascii") as file:
            return int(re.search(r"usage_usec (\d+)", file.read())[1]) / 1e6

    def _status(self, field):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"{field}:\s+(\d+)", file.read())[1]) / 1024

    def _written(self):
        with open(f"/proc/{self.pid}/io", encoding="ascii") as file:
            return int(re.search(r"write_bytes: (\d+)", file.read())[1]) / MIB

    def pull(self, image):
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # resets VmHWM
        cpu, idle, written = self._cpu(), self._status("VmRSS"), self._written()
        start = time.monotonic()
        run("crictl", *self._endpoint(), "pull", f"{REGISTRY}/{image}")
        seconds = time.monotonic() - start
        os.sync()
        return {"seconds": seconds, "synced": time.monotonic() - start, "cpu": self._cpu() - cpu,
                "memory": self._status("VmHWM") - idle, "written": self._written() - written}


class Commands:
    """A shell script that pulls and unpacks into a folder. Its processes end, so that wait() knows what they took."""

    def __init__(self, folder, script, lacks=None):
        self.folder, self.script, self.lacks = folder, script, lacks

    def stop(self):
        pass

    def clear(self):
        put_aside(self.folder)

    def start(self):
        os.makedirs(self.folder)

    def pull(self, image):
        start = time.monotonic()
        # The shell outlives what it runs, and the kernel adds up what its children wrote.
        shell = subprocess.Popen(["bash", "-euc", self.script + "\ncat /proc/$$/io", "bash", *self.arguments(image)],
                                 cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        output = shell.stdout.read()
        _, status, usage = os.wait4(shell.pid, 0)
        seconds = time.monotonic() - start
        if status != 0:
            sys.exit(f"pulling {image} failed: {output}")
        os.sync()
        return {"seconds": seconds, "synced": time.monotonic() - start, "cpu": usage.ru_utime + usage.ru_stime,
                "memory": usage.ru_maxrss / 1024, "written": int(re.search(r"\nwrite_bytes: (\d+)", output)[1]) / MIB}

    def arguments(self, image):
        return [f"{REGISTRY}/{image}"]


class Limit(Commands):
    """What no runtime can do without: the layers' bytes from the registry to files, all layers at once."""

    def arguments(self, image):
        request = urllib.request.Request(f"http://{REGISTRY}/v2/{image}/manifests/latest",
                                         headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
        with urllib.request.urlopen(request) as answer:
            layers = json.load(answer)["layers"]
        option = "--zstd" if layers[0]["mediaType"].endswith("zstd") else "-z"
        return [option, *(f"http://{REGISTRY}/v2/{image}/blobs/{layer['digest']}" for layer in layers)]


RUNTIMES = {
    "cri-nspawn": Daemon("cri-nspawn.service", "/run/cri-nspawn/cri-nspawn.sock", "/var/lib/cri-nspawn/images"),
    "containerd": Daemon("containerd.service", "/run/containerd/containerd.sock", "/var/lib/containerd"),
    "skopeo+umoci": Commands("/var/lib/bench-umoci", """
        skopeo copy -q --src-tls-verify=false "docker://$1" oci:layout:image
        umoci unpack --image layout:image bundle >/dev/null 2>&1""", "zstd"),
    "curl|tar": Limit("/var/lib/bench-tar", """
        option=$1 number=0; shift
        for url; do
          mkdir "$((++number))"
          curl -sSf "$url" | tar -x "$option" -C "$number" &
          jobs+=($!)
        done
        for job in "${jobs[@]}"; do wait "$job"; done"""),
}


def measure(runtime, image):
    for other in RUNTIMES.values():
        if isinstance(other, Daemon):
            other.stop()
    runtime.clear()
    runtime.start()
    os.sync()
    time.sleep(0.3)
    result = runtime.pull(image)
    runtime.stop()
    runtime.clear()
    return result


def main():
    result, runs, images, runtimes = sys.argv[1:]
    images, runtimes = images.split(","), runtimes.split(",")
    pulls = []
    for number in range(int(runs)):
        for image in images:
            # Nobody always comes first, or always after the same one.
            for place in range(len(runtimes)):
                name = runtimes[(place + number) % len(runtimes)]
                if (lacks := getattr(RUNTIMES[name], "lacks", None)) and lacks in image:
                    continue
                pull = {"image": image, "runtime": name, **measure(RUNTIMES[name], "bench/" + image)}
                print(f"run {number + 1}: {image}, {name}: {pull['seconds']:.2f} s", file=sys.stderr, flush=True)
                pulls.append(pull)
    with open(result, "w", encoding="utf-8") as file:
        json.dump(pulls, file, indent=1)


main()
