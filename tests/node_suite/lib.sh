# What the tests on the node share. A test is a function test_<what must hold>; it fails with its first failing command.
# shellcheck shell=bash disable=SC2034,SC2154  # $scratch, a folder for each test, is the runner's

readonly registry=127.0.0.1:5000 skip_status=77
readonly base=$registry/base:latest web=$registry/web:latest

# What the runner does before and after a test and, with the names of its tests, a file of tests; and whose journal it shows
# when a test has failed. Other suites have others.
before_file() { :; }
before_test() { crictl pull "$base"; }
after_test() { remove_all_pods; }
after_file() { :; }
journal_of=(-u cri-nspawn.service)

skip() {
  echo "$*"
  exit "$skip_status"
}

fail() {
  echo "$*"
  return 1
}

# equals EXPECTED ACTUAL [WHAT]
equals() { [[ $1 == "$2" ]] || fail "${3-it} is '$2', not '$1'"; }

# contains TEXT PATTERN: an extended regular expression, taken line by line.
contains() { grep -Eq -- "$2" <<<"$1" || fail "there is no '$2' in: $1"; }
lacks() { ! grep -Eq -- "$2" <<<"$1" || fail "there is a '$2' in: $1"; }

# refused PATTERN COMMAND…: the command fails, and says why in words that match.
refused() {
  local pattern=$1 output
  shift
  if output=$("$@" 2>&1); then fail "this succeeded: $*"; fi
  contains "$output" "$pattern"
}

# unchanged BEFORE: the node's traces are as they were.
unchanged() { diff <(sort <<<"$1") <(traces | sort) || fail 'what is on the node has changed'; }

# How much longer than the release build this one may take for what is waited for.
time_factor=${TIME_FACTOR:-1}

# within SECONDS COMMAND…: ends a command that takes longer.
within() { timeout $(($1 * time_factor)) "${@:2}"; }

# eventually SECONDS COMMAND…: the command succeeds within that time.
eventually() {
  local deadline=$((SECONDS + $1 * time_factor))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "even after a while this fails: $*"
    sleep 0.05
  done
}

# setting NAME VALUE puts a line into the daemon's configuration until the test ends, and restarts the daemon.
setting() {
  local file=/etc/cri-nspawn/config.toml
  if [[ ! -e $scratch/config.toml ]]; then
    cp "$file" "$scratch/config.toml"
    # shellcheck disable=SC2064  # the names of now are meant
    trap "cp '$scratch/config.toml' '$file'; systemctl restart cri-nspawn.service" EXIT
  fi
  sed -i -E "s|^#?$1 = .*|$1 = $2|" "$file"
  systemctl restart cri-nspawn.service
  eventually 20 daemon_answers
}

# pod NAME [JQ-FILTER] runs a pod and prints its id; $scratch/NAME.json is its configuration after the filter.
pod() {
  local name=$1 uid
  uid=$(cat /proc/sys/kernel/random/uuid)
  mkdir -p "$scratch/logs/$name"
  jq -n --arg name "$name" --arg uid "$uid" --arg logs "$scratch/logs/$name" '{
    metadata: {name: $name, namespace: "tests", uid: $uid, attempt: 0},
    log_directory: $logs,
    linux: {cgroup_parent: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod\($uid | gsub("-"; "_")).slice"}
  } | '"${2-.}" >"$scratch/$name.json"
  crictl runp "$scratch/$name.json"
}

# created POD-NAME POD-ID NAME [JQ-FILTER] makes a container of the base image that sleeps, and prints its id. The filter
# sees its configuration, and the words after it as $ARGS.positional.
created() {
  local pod_name=$1 pod_id=$2 name=$3 filter=${4-.}
  shift $(($# < 4 ? $# : 4))
  jq -n --arg name "$name" --arg image "$base" '{
    metadata: {name: $name, attempt: 0}, image: {image: $image}, log_path: "\($name).log",
    command: ["sleep", "1000"], linux: {security_context: {namespace_options: {pid: 1}}}
  } | '"$filter" --args "$@" >"$scratch/$pod_name-$name.json"
  crictl create --no-pull "$pod_id" "$scratch/$pod_name-$name.json" "$scratch/$pod_name.json"
}

# started … makes and starts one; arguments as of created.
started() {
  local id
  id=$(created "$@")
  crictl start "$id" >/dev/null
  printf '%s\n' "$id"
}

# image_with NAME FOLDER [JQ-FILTER] pushes an image: base with the folder as one more layer, its configuration filtered.
image_with() {
  local name=$1 folder=$2 filter=${3-.} layout=$scratch/layout manifest config layer
  rm -rf "$layout"
  skopeo copy -q --src-tls-verify=false "docker://$base" "oci:$layout:image"
  blob() { printf '%s/blobs/%s\n' "$layout" "${1/://}"; }
  # Takes standard input in and prints its digest and size, as JSON.
  take() {
    local digest
    cat >"$layout/part"
    digest=$(sha256sum "$layout/part" | cut -d' ' -f1)
    jq -n --arg digest "sha256:$digest" --argjson size "$(stat -c %s "$layout/part")" '{digest: $digest, size: $size}'
    mv "$layout/part" "$layout/blobs/sha256/$digest"
  }
  manifest=$(blob "$(jq -r '.manifests[0].digest' "$layout/index.json")")
  layer=$(tar -C "$folder" --owner=0 --group=0 -c . | take)
  config=$(jq -c --argjson layer "$layer" ".rootfs.diff_ids += [\$layer.digest] | del(.history) | $filter" \
    "$(blob "$(jq -r .config.digest "$manifest")")" | take)
  manifest=$(jq -c --argjson config "$config" --argjson layer "$layer" \
    '.config += $config | .layers += [{mediaType: "application/vnd.oci.image.layer.v1.tar"} + $layer]' "$manifest" | take)
  jq -c --argjson manifest "$manifest" '.manifests[0] += $manifest' "$layout/index.json" >"$layout/index"
  mv "$layout/index" "$layout/index.json"
  skopeo copy -q --dest-tls-verify=false "oci:$layout:image" "docker://$registry/$name"
  crictl pull "$registry/$name" >/dev/null
}

# inside ID COMMAND…
inside() { crictl exec -s "$@"; }

# in_terminal COLUMNS ROWS NEW-COLUMNS NEW-ROWS COMMAND… runs a command in a terminal of its own, which gets another size
# when the command has written a line, and prints what it writes.
in_terminal() { python3 "$(dirname "${BASH_SOURCE[0]}")/in_terminal.py" "$@"; }

# lines_of LOG-FILE: what a container has written to its standard output.
lines_of() { sed -n 's/^[^ ]* stdout F //p' "$1"; }

status() { crictl inspect "$1" | jq -r ".status$2"; }
in_state() { [[ $(status "$1" .state) == "CONTAINER_$2" ]]; }
# ended ID waits until a container has ended.
ended() { eventually 20 in_state "$1" EXITED; }

# Gives the id of a pod's or container's unit.
machine_of() { machinectl list --no-legend | awk -v id="${1:0:12}" 'index($1, id) {print $1}'; }
service_of() { portablectl list --no-legend | awk -v id="${1:0:12}" 'index($1, id) {print $1}'; }

# Everything that a pod or a container may leave behind on the node. Its slice is the kubelet's.
traces() {
  machinectl list --no-legend
  portablectl list --no-legend
  systemctl list-units --all --no-legend --plain 'tests-*' | awk '{print $1}'
  findmnt -rno TARGET
  ls /run/netns 2>/dev/null
  find /var/lib/cni/networks -name '[0-9]*' 2>/dev/null
  find /run/cri-nspawn /var/lib/cri-nspawn -mindepth 1 -maxdepth 3 -regextype egrep -regex '.*/[^/]*[0-9a-f]{12}[^/]*' \
    ! -path '*/layers*' ! -path '*/images*' ! -path '*/blobs*'
  true
}

remove_all_pods() {
  local id
  crictl rmp --all --force >/dev/null
  id=$(crictl pods -q)
  [[ -z $id ]] || fail "these pods are left: $id"
}

daemon_pid() { systemctl show -P MainPID cri-nspawn.service; }
daemon_answers() { crictl version >/dev/null 2>&1; }

kill_daemon() {
  local pid
  pid=$(daemon_pid)
  kill -KILL "$pid"
  eventually 20 eval "[[ \$(daemon_pid) != $pid && \$(daemon_pid) != 0 ]] && daemon_answers"
}
