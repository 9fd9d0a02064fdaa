# cri-nspawn-image: images of the node and of other stores, and portable services made of images.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # expanded elsewhere; $scratch is the runner's; called by name

image() { cri-nspawn-image "$@"; }
json() { cri-nspawn-image -o json "$@"; }

test_the_nodes_images_are_pulled_listed_inspected_and_removed_through_the_daemon() {
  local id
  id=$(image pull "$registry/web:zstd" 2>"$scratch/progress")
  contains "$id" '^sha256:[0-9a-f]{64}$'
  contains "$(cat "$scratch/progress")" '^Copying blob [0-9a-f]{13} (done|skipped: already exists)$'
  lacks "$(cat "$scratch/progress")" $'\x1b'
  equals "$id" "$(crictl inspecti "$registry/web:zstd" | jq -r .status.id)"
  equals "$id" "$(json list | jq -r --arg tag "$registry/web:zstd" '.[] | select(.repoTags | index($tag)).id')"
  contains "$(image list)" "^$registry/web +zstd +${id:7:13} +[0-9.]+[kM]B$"
  contains "$(image list -q --no-trunc)" "^$id$"
  equals /usr/sbin/nginx "$(image inspect "${id:7:12}" | jq -r '.[0].config.Entrypoint[0]')"
  equals SIGQUIT "$(image inspect "$registry/web:zstd" | jq -r '.[0].config.StopSignal')"
  contains "$(image remove "$registry/web:zstd")" "^Deleted: $id$"
  lacks "$(crictl images)" 'web +zstd'
  refused 'web:zstd: not found' image inspect "$registry/web:zstd"
  refused 'not found' image remove "$registry/web:zstd"
  image remove --ignore "$registry/web:zstd"
}

test_a_mistake_is_told_with_its_exit_status() {
  local status=0
  image nonsense >/dev/null 2>&1 || status=$?
  equals 2 "$status"
  status=0
  image pull "$registry/no-such-image:1" >/dev/null 2>"$scratch/error" || status=$?
  equals 1 "$status"
  contains "$(cat "$scratch/error")" "^cri-nspawn-image: pull $registry/no-such-image:1: .*not found"
  refused 'invalid|UPPER' image pull 'UPPER//case::'
}

test_while_the_daemon_is_away_the_store_is_opened_and_running_containers_keep_their_layers() {
  local pod_id id
  pod_id=$(pod away)
  id=$(started away "$pod_id" main)
  systemctl stop cri-nspawn
  away() {
    contains "$(image list)" "^$registry/base +latest"
    image remove "$base"
    lacks "$(image list)" "^$registry/base +latest"
  }
  away || { systemctl start cri-nspawn; return 1; }
  systemctl start cri-nspawn
  eventually 20 daemon_answers
  equals hello "$(inside "$id" echo hello)"
  inside "$id" ls /usr/bin >/dev/null
}

test_a_store_of_its_own_needs_no_daemon() {
  local id
  id=$(image --store "$scratch/store" pull -q "$base")
  contains "$(image --store "$scratch/store" list -q --no-trunc)" "^$id$"
  image --store "$scratch/store" export "$base" "$scratch/layout" 2>/dev/null
  skopeo inspect "oci:$scratch/layout:latest" >"$scratch/inspected"
  equals latest "$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' "$scratch/layout/index.json")"
  # Every digest in it is that of what it names.
  local blob
  for blob in "$scratch"/layout/blobs/sha256/*; do
    equals "${blob##*/}" "$(sha256sum "$blob" | cut -d' ' -f1)"
  done
  tar -C "$scratch/layout" -cf "$scratch/base.tar" .
  contains "$(image --store "$scratch/other" import "$scratch/base.tar")" "^Loaded image: $base$"
  contains "$(image --store "$scratch/other" check)" '^1 layer checked: 1 good$'
}

test_the_daemon_imports_and_exports() {
  image export "$base" "$scratch/layout" >/dev/null 2>&1
  skopeo copy -q "oci:$scratch/layout:latest" "docker-archive:$scratch/base.docker.tar:registry.example/imported:1"
  contains "$(image import "$scratch/base.docker.tar")" '^Loaded image: registry.example/imported:1$'
  contains "$(crictl images)" '^registry.example/imported +1'
  image remove registry.example/imported:1
  refused 'exists' image export "$base" "$scratch/layout"
  refused 'index.json' image import "$scratch"
}

test_damage_is_found_and_repaired_while_a_container_runs() {
  local pod_id id layer status=0
  pod_id=$(pod damaged)
  id=$(started damaged "$pod_id" main)
  layer=$(image inspect "$base" | jq -r '.[0].layers[0]')
  printf x >>"$layer/etc/services"
  rm "$layer/etc/protocols"
  touch "$layer/etc/surplus"
  image check --no-repair >"$scratch/report" || status=$?
  equals 1 "$status"
  contains "$(cat "$scratch/report")" '^  /etc/services has another'
  contains "$(cat "$scratch/report")" '^  /etc/protocols is missing'
  contains "$(cat "$scratch/report")" '^  /etc/surplus is not part of the layer'
  contains "$(image check)" '1 repaired'
  equals 0 "$(json check | jq .damaged)"
  equals hello "$(inside "$id" echo hello)"
  ls "$layer/etc/protocols"
  [[ ! -e $layer/etc/surplus ]]
}

test_the_daemons_program_checks_the_store_while_no_daemon_runs() {
  local report
  systemctl stop cri-nspawn
  report=$(cri-nspawnd --check-store || true)
  systemctl start cri-nspawn
  eventually 20 daemon_answers
  contains "$report" ' layers checked, 0 damaged$'
  refused 'cri-nspawn-image check' cri-nspawnd --check-store
}

# portable_cleanup NAME takes away what an earlier run may have left.
portable_cleanup() {
  image detach --volumes "$1" >/dev/null 2>&1 || true
  rm -rf "/var/lib/cri-nspawn/portable/volumes/$1"
  image --portable remove --all >/dev/null 2>&1 || true
}

test_an_image_becomes_a_portable_service_of_the_host() {
  local before pid
  portable_cleanup app
  before=$(systemctl list-unit-files --no-legend; portablectl list --no-legend; findmnt -rno TARGET)
  equals app.service "$(image attach -q "$registry/base:app" --name app)"
  equals active "$(systemctl is-active app)"
  equals enabled "$(systemctl is-enabled app)"
  contains "$(portablectl list --no-legend)" '^app +directory .*(enabled|running|attached)'
  eventually 5 eval 'journalctl -q -u app -o cat | grep -qx "hello from the image"'
  pid=$(systemctl show -P MainPID app)
  # Whom it runs as, and how it is confined.
  equals 1000 "$(awk '/^Uid:/ {print $2}' "/proc/$pid/status")"
  equals 2 "$(awk '/^Seccomp:/ {print $2}' "/proc/$pid/status")"
  equals 1 "$(awk '/^NoNewPrivs:/ {print $2}' "/proc/$pid/status")"
  equals 00000000a80425fb "$(awk '/^CapBnd:/ {print $2}' "/proc/$pid/status")"
  equals /home/app "$(readlink "/proc/$pid/cwd")"
  [[ $(readlink "/proc/$pid/ns/pid") != $(readlink /proc/1/ns/pid) ]]
  equals "$(readlink /proc/1/ns/net)" "$(readlink "/proc/$pid/ns/net")"
  contains "$(systemctl cat app)" "^Image=$registry/base:app$"
  # A second of the same name is refused, and a unit of the host is left alone.
  refused 'already' image attach -q "$registry/base:app" --name app
  refused 'exists|already' image attach -q "$registry/base:app" --name dbus
  equals active "$(systemctl is-active dbus)"
  refused 'in use by the portable service app' image --portable remove "$registry/base:app"
  # It outlives a failure of its program.
  kill -KILL "$pid"
  eventually 10 eval "[[ \$(systemctl show -P MainPID app) != $pid && \$(systemctl is-active app) == active ]]"
  contains "$(image detach app)" '^Detached: app$'
  equals "$before" "$(systemctl list-unit-files --no-legend; portablectl list --no-legend; findmnt -rno TARGET)"
  [[ ! -e /var/lib/cri-nspawn/portable/data/app ]]
  refused 'no portable service app' image detach app
}

test_a_program_that_does_not_exist_is_told_and_leaves_nothing() {
  refused 'no/such/program' image attach -q "$base" --name lost -- /no/such/program
  lacks "$(portablectl list --no-legend)" '^lost '
  refused 'no portable service' image detach lost
}

test_a_portable_service_has_the_ports_and_volumes_that_it_is_given() {
  portable_cleanup web
  mkdir "$scratch/www"
  echo "page of the host" >"$scratch/www/index.html"
  image attach -q "$registry/web:latest" --volume "$scratch/www:/srv/www:ro"
  eventually 10 curl -sf http://127.0.0.1/
  equals 'page of the host' "$(curl -s http://127.0.0.1/)"
  systemctl restart web
  eventually 10 curl -sf http://127.0.0.1/
  systemctl stop web
  equals inactive "$(systemctl is-active web || true)"
  image detach web
}

# A program that does as it is told when it is asked to end, as the first process of a container has to by itself.
readonly sleep='trap "exit 0" TERM; sleep 3600 & wait'

# push_program NAME SCRIPT pushes the base image with another command and a volume.
push_program() {
  rm -rf "$scratch/program"
  skopeo copy -q --src-tls-verify=false "docker://$base" "oci:$scratch/program:x"
  python3 - "$scratch/program" "$2" <<'PYTHON'
import hashlib, json, os, sys
root, script = sys.argv[1:]
blob = lambda digest: os.path.join(root, "blobs/sha256", digest.split(":")[1])
def put(document):
    text = json.dumps(document).encode()
    digest = "sha256:" + hashlib.sha256(text).hexdigest()
    open(blob(digest), "wb").write(text)
    return digest, len(text)
index = json.load(open(root + "/index.json"))
manifest = json.load(open(blob(index["manifests"][0]["digest"])))
config = json.load(open(blob(manifest["config"]["digest"])))
config["config"]["Cmd"] = ["/bin/sh", "-c", script]
config["config"]["Volumes"] = {"/home/app": {}}
manifest["config"]["digest"], manifest["config"]["size"] = put(config)
index["manifests"][0]["digest"], index["manifests"][0]["size"] = put(manifest)
json.dump(index, open(root + "/index.json", "w"))
PYTHON
  skopeo copy -q --dest-tls-verify=false "oci:$scratch/program:x" "docker://$registry/$1"
}

test_an_update_moves_a_service_and_rolls_back_what_does_not_stay_up() {
  local first second
  portable_cleanup moving
  push_program moving:1 "echo one >>/home/app/runs; $sleep"
  image attach -q "$registry/moving:1" --auto-update
  equals active "$(systemctl is-active cri-nspawn-image-auto-update@moving.timer)"
  equals enabled "$(systemctl is-enabled cri-nspawn-image-auto-update@moving.timer)"
  first=$(json list --portable 2>/dev/null | jq -r --arg tag "$registry/moving:1" '.[] | select(.repoTags | index($tag)).id')
  contains "$(image auto-update moving)" '^moving: up to date'
  push_program moving:1 "echo two >>/home/app/runs; $sleep"
  contains "$(image auto-update --settle 1 moving)" '^moving: updated'
  equals active "$(systemctl is-active moving)"
  second=$(json auto-update moving | jq -r '.[0].id')
  [[ $first != "$second" ]]
  # Its volume went along.
  equals 'one two' "$(tr '\n' ' ' <"/var/lib/cri-nspawn/portable/volumes/moving/home-app/runs" | sed 's/ $//')"
  lacks "$(image --portable list --no-trunc)" "$first"
  push_program moving:1 'sleep 0.3; exit 3'
  refused '^moving: rolled back .*status 3' image auto-update --settle 3 moving
  equals active "$(systemctl is-active moving)"
  # That image is not tried again, and the service's own journal has all of it.
  equals 'up to date' "$(json auto-update moving | jq -r '.[0].status')"
  equals "$second" "$(json auto-update moving | jq -r '.[0].id')"
  push_program moving:1 "echo four >>/home/app/runs; $sleep"
  systemctl start cri-nspawn-image-auto-update@moving.service
  eventually 5 grep -qx four /var/lib/cri-nspawn/portable/volumes/moving/home-app/runs
  image detach --volumes moving
  [[ ! -e /var/lib/cri-nspawn/portable/volumes/moving ]]
  refused . systemctl is-active cri-nspawn-image-auto-update@moving.timer
}

test_an_update_that_was_killed_is_undone_by_the_next() {
  local updater first
  portable_cleanup cut
  push_program cut:1 "$sleep"
  image attach -q "$registry/cut:1"
  first=$(json auto-update cut | jq -r '.[0].id')
  push_program cut:1 "true; $sleep"
  cri-nspawn-image auto-update --settle 30 cut >/dev/null 2>&1 &
  updater=$!
  eventually 10 eval '[[ $(jq -r .previous /var/lib/cri-nspawn/portable/records/cut.json) != "" ]]'
  sleep 0.1
  kill -KILL "$updater"
  wait "$updater" || true
  push_program cut:1 "$sleep"
  contains "$(image auto-update cut)" '^cut: up to date'
  equals "$first" "$(json auto-update cut | jq -r '.[0].id')"
  equals active "$(systemctl is-active cut)"
  image detach cut
}
