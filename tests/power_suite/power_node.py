#!/usr/bin/env python3
"""What the power tests do on the node.

usage: power_node.py images SEED COUNT KILOBYTES   make images with layers in common and push them to the node's registry
       power_node.py load SEED                     pull, import, remove and use them at random, until standard input ends
       power_node.py check                         compare the store with what standard input says of it (see below)

load prints a line of JSON for what it begins and one for what was acknowledged: {"op", "image", "phase"}. check reads
{"present": [images that must be there], "absent": […], "pull": an image} and prints {"violations": […], "listed": […]}.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
import archives  # noqa: E402
import images  # noqa: E402

REGISTRY = "127.0.0.1:5000"
STORE = "/var/lib/cri-nspawn/images"
ARCHIVES = "/var/tmp/power"
WORKERS = 3
MOVING = f"{REGISTRY}/power/moving:latest"  # a tag that two images have in turn
RUN_SECONDS = 300


def run(*command, text=None, timeout=RUN_SECONDS):
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout, check=False)


def demand(*command, text=None):
    done = run(*command, text=text)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])}: {done.stderr.strip()[-500:]}")
    return done.stdout


def name_of(number):
    return f"{REGISTRY}/power/image{number}:latest"


# --- images


def layer(choice, kilobytes, proof=None):
    """Files of all sizes in directories, links, and whiteouts of what a lower layer may have."""
    parts = [archives.entry("srv", archives.DIRECTORY)]
    left, number = kilobytes << 10, 0
    while left > 0:
        folder = f"srv/{choice.randrange(8)}"
        parts.append(archives.entry(folder, archives.DIRECTORY))
        for _ in range(choice.randrange(1, 20)):
            size = min(max(left, 0), choice.choice([0, 10, 900, 5_000, 20_000, 150_000, 1_000_000]))
            parts.append(archives.entry(f"{folder}/{number}", data=choice.randbytes(size)))
            left -= size + 50
            number += 1
        parts.append(archives.entry(f"{folder}/link{number}", archives.SYMLINK, link="../target"))
        parts.append(archives.whiteout(f"{folder}/gone{number}"))
    if proof is not None:
        parts.append(archives.entry("proof", data=proof.encode()))
    return archives.tar(*parts)


def make_images(seed, count, kilobytes):
    choice = random.Random(seed)
    work = tempfile.mkdtemp(dir="/var/tmp")
    demand("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-decompress", f"docker://{REGISTRY}/base:latest", f"dir:{work}/base")
    with open(f"{work}/base/manifest.json", encoding="ascii") as file:
        digests = [entry["digest"].partition(":")[2] for entry in json.load(file)["layers"]]
    base = []
    for digest in digests:
        with open(f"{work}/base/{digest}", "rb") as file:
            base.append(file.read())
    pool = [layer(choice, choice.randrange(kilobytes // 4, kilobytes)) for _ in range(count)]
    os.makedirs(ARCHIVES, exist_ok=True)
    names = [(f"image{number}", f"{number}") for number in range(count)] + [("moving-a", "a"), ("moving-b", "b")]
    for name, proof in names:
        image = images.Image(*base, *choice.sample(pool, 2), layer(choice, kilobytes // 4, proof))
        image.config["config"] = {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}
        image.write_layout(f"{work}/{name}")
        demand("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{work}/{name}:image", f"docker://{REGISTRY}/power/{name}:latest")
        if not name.startswith("moving"):
            demand("skopeo", "copy", "-q", f"oci:{work}/{name}:image", f"docker-archive:{ARCHIVES}/{name}.tar:{REGISTRY}/power/{name}:latest")
    move_tag("a")
    shutil.rmtree(work)


def move_tag(which):
    """In the registry; a manifest is moved, no layers."""
    demand("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false",
           f"docker://{REGISTRY}/power/moving-{which}:latest", f"docker://{MOVING}")


# --- load


class Load:
    def __init__(self, seed):
        self.seed = seed
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.count = len([name for name in os.listdir(ARCHIVES) if name.startswith("image")])

    def tell(self, op, image, phase):
        with self.lock:
            print(json.dumps({"op": op, "image": image, "phase": phase}), flush=True)

    def do(self, op, image, *command):
        self.tell(op, image, "begun")
        done = run(*command)
        self.tell(op, image, "done" if done.returncode == 0 else "failed")
        return done

    def use(self, image, number):
        """Removed while a container holds it, so that its layers go with the container."""
        pods = json.loads(run("crictl", "pods", "-o", "json").stdout or "{}").get("items", [])
        if not pods:
            return
        self.tell("use", image, "begun")
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (("pod", {"metadata": {"name": "holder", "namespace": "power", "uid": "0"}}),
                                  ("container", {"metadata": {"name": f"user{number}"}, "image": {"image": image}, "command": ["true"]})):
                with open(f"{folder}/{name}.json", "w", encoding="ascii") as file:
                    json.dump(content, file)
            made = run("crictl", "create", "--no-pull", pods[0]["id"], f"{folder}/container.json", f"{folder}/pod.json")
        gone = made.returncode == 0 and self.do("remove", image, "crictl", "rmi", image).returncode == 0
        if made.returncode == 0:
            run("crictl", "rm", "-f", made.stdout.strip())
        self.tell("use", image, "done" if gone else "failed")

    def work(self, worker):
        choice = random.Random(f"{self.seed}-{worker}")
        mine = [number for number in range(self.count) if number % WORKERS == worker]
        while not self.over.is_set():
            number = choice.choice(mine)
            image, op = name_of(number), choice.choice(["pull", "pull", "pull", "import", "remove", "remove", "use"])
            if op == "pull":
                self.do(op, image, "crictl", "pull", image)
            elif op == "import":
                self.do(op, image, "cri-nspawn-image", "import", f"{ARCHIVES}/image{number}.tar")
            elif op == "remove":
                self.do(op, image, "crictl", "rmi", image)
            else:
                self.use(image, number)
            time.sleep(choice.random() * 0.3)

    def move(self):
        choice = random.Random(f"{self.seed}-moving")
        while not self.over.is_set():
            move_tag(choice.choice("ab"))
            self.do("move", MOVING, "crictl", "pull", MOVING)
            time.sleep(choice.random())

    def run(self, moving):
        threads = [threading.Thread(target=self.work, args=(worker,), daemon=True) for worker in range(WORKERS)]
        if moving:
            threads.append(threading.Thread(target=self.move, daemon=True))
        for thread in threads:
            thread.start()
        sys.stdin.read()
        self.over.set()
        # What is under way meets a daemon that is gone, or a disk that is.
        os._exit(0)


# --- check


def listed_images():
    return sorted(tag for image in json.loads(demand("crictl", "images", "-o", "json"))["images"] for tag in image["repoTags"])


def names_in(folder):
    return set(os.listdir(f"{STORE}/{folder}"))


def check_directories():
    """Trees, records of trees, layers and images are as many as they say of each other, and nothing else is there."""
    found = []
    trees, layers, records, removed = names_in("l"), names_in("layers"), names_in("images"), names_in("removed")
    diff_ids, needed = {}, set()
    for name in layers:
        if name.endswith(".json"):
            with open(f"{STORE}/layers/{name}", encoding="ascii") as file:
                diff_ids[json.load(file)["diffID"]] = name[:-5]
    for folder, names in (("images", records), ("removed", removed)):
        for name in names:
            with open(f"{STORE}/{folder}/{name}", encoding="ascii") as file:
                needed.update(json.load(file)["layers"])
    recorded = set(diff_ids.values())
    if trees != recorded:
        found.append(f"trees and records differ: {sorted(trees ^ recorded)}")
    if layers != {name + end for name in recorded for end in (".json", ".tree")}:
        found.append(f"the folder of records has {sorted(layers)} for {sorted(recorded)}")
    if set(diff_ids) != needed:
        found.append(f"layers that no image needs, or that are missing: {sorted(set(diff_ids) ^ needed)}")
    if left := os.listdir(f"{STORE}/staging"):
        found.append(f"left in staging: {left}")
    return found


def run_container(image, proof):
    """The violations of a pod with the image."""
    pod = {"metadata": {"name": "check", "namespace": "power", "uid": "1"}, "log_directory": "/var/log/power"}
    container = {"metadata": {"name": "main"}, "image": {"image": image}, "command": ["sh", "-c", "sleep 1000"], "log_path": "main.log"}
    pods = None
    os.makedirs(pod["log_directory"], exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("pod", pod), ("container", container)):
            with open(f"{folder}/{name}.json", "w", encoding="ascii") as file:
                json.dump(content, file)
        try:
            pods = demand("crictl", "--timeout", "60s", "runp", f"{folder}/pod.json").strip()
            made = demand("crictl", "create", "--no-pull", pods, f"{folder}/container.json", f"{folder}/pod.json").strip()
            demand("crictl", "--timeout", "60s", "start", made)
            read = demand("crictl", "exec", "-s", made, "sh", "-c", "cat /proof; cat /srv/*/* >/dev/null 2>&1; true")
            return [] if read.strip() == proof else [f"a container of {image} reads {read!r} where {proof!r} is"]
        except RuntimeError as error:
            return [f"no container runs from {image}: {error}"]
        finally:
            if pods:
                run("crictl", "--timeout", "60s", "rmp", "-f", pods)


def check(expected):
    found = []
    for _ in range(600):
        if run("crictl", "version").returncode == 0:
            break
        time.sleep(0.2)
    else:
        return {"violations": ["the daemon does not come up: " + run("systemctl", "status", "cri-nspawn").stdout], "listed": []}
    listed = listed_images()
    found += [f"{image} was durable and is gone" for image in expected["present"] if image not in listed]
    found += [f"{image} was removed and is back" for image in expected["absent"] if image in listed]
    found += check_directories()
    report = run("cri-nspawn-image", "-o", "json", "check", "--no-repair")
    if report.returncode != 0:
        found.append("an image that is listed is not whole: " + (report.stdout + report.stderr)[-2000:])
    image = expected["pull"]
    try:
        demand("crictl", "--timeout", "300s", "pull", image)
    except RuntimeError as error:
        found.append(f"it cannot be pulled: {error}")
    found += run_container(image, image.rpartition("/image")[2].partition(":")[0])
    found += check_directories()
    return {"violations": found, "listed": listed_images()}


def main():
    command = sys.argv[1]
    if command == "images":
        make_images(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    elif command == "load":
        Load(sys.argv[2]).run(moving=True)
    else:
        print(json.dumps(check(json.load(sys.stdin))))


main()
