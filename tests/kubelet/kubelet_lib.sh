# What the tests of a stock kubelet share, beside node_suite's lib.sh. A test test_NAME finds the pods that a function
# pods_NAME, if there is one, has written as manifests. Those of all tests of a file run side by side, from before the first
# test until after the last.
# shellcheck shell=bash disable=SC2034,SC2154

busybox=$registry/base:1 nginx=$registry/web:1 agnhost=$registry/agnhost:1
manifests=/etc/kubernetes/manifests
# Where pods leave files for tests, and find what tests have made for them.
shared=/var/tmp/kubelet-tests
journal_of=(-u cri-nspawn.service -u kubelet.service)

before_file() {
  local name
  mkdir -p "$shared"
  for name; do
    if declare -F "pods_${name#test_}" >/dev/null; then "pods_${name#test_}"; fi
  done
}
before_test() { :; }
after_test() { :; }
after_file() {
  rm -f "$manifests"/*.yaml
  # Without this, the next file's tests would wait for these pods to end.
  eventually 300 no_pods || echo "these pods do not end: $(crictl pods -q | wc -l)"
}
no_pods() { [[ -z $(crictl pods -q --state ready) && $(pods | jq '.items | length') == 0 ]]; }

# fresh NAME makes an empty folder in $shared, whatever an earlier run on the same node has left there.
fresh() {
  rm -rf "${shared:?}/$1"
  mkdir -p "$shared/$1"
}

# manifest NAME [LINE…] writes the manifest of a pod whose spec is read from standard input, in YAML, with more lines of
# metadata. Pods end at once unless the spec says otherwise. The file appears whole.
manifest() {
  local name=$1 spec
  shift
  spec=$(cat)
  {
    printf 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n' "$name"
    (($# == 0)) || printf '  %s\n' "$@"
    printf 'spec:\n'
    grep -q '^terminationGracePeriodSeconds:' <<<"$spec" || printf '  terminationGracePeriodSeconds: 1\n'
    printf '  %s\n' "${spec//$'\n'/$'\n  '}"
  } >"$manifests/.$name"
  mv "$manifests/.$name" "$manifests/$name.yaml"
}

# What the kubelet says of its pods.
pods() { curl -sf --max-time 60 http://127.0.0.1:10255/pods; }
# of NAME JQ-FILTER prints something of a pod.
of() { pods | jq -r --arg name "$1-$(hostname)" '.items[] | select(.metadata.name == $name) | '"$2"; }
holds() { [[ $(of "$1" "$2") == true ]]; }

# becomes NAME JQ-CONDITION [SECONDS]: the condition comes to hold for a pod.
becomes() {
  local deadline=$((SECONDS + ${3-300}))
  until holds "$1" "$2"; do
    if ((SECONDS >= deadline)); then
      of "$1" .status
      fail "pod $1 does not get to this: $2"
    fi
    sleep 2
  done
}
is_ready='.status.conditions // [] | any(.type == "Ready" and .status == "True")'
ready() { becomes "$1" "$is_ready" "${2-300}"; }
has_ended='.status.phase == "Succeeded" or .status.phase == "Failed"'

# The status of a container, init containers included, for filters: container("NAME").
container() { printf '([.status | (.containerStatuses, .initContainerStatuses)[]?] | map(select(.name == "%s")) | .[0])' "$1"; }
# id_of POD CONTAINER: of the one that runs. Not by jq, which takes seconds to start under emulation.
id_of() {
  crictl ps -q --latest --label "io.kubernetes.pod.name=$1-$(hostname)" --label "io.kubernetes.container.name=$2"
}
# pid_of POD CONTAINER
pid_of() { crictl inspect --output go-template --template '{{.info.pid}}' "$(id_of "$1" "$2")"; }
# in_pod POD CONTAINER COMMAND…
in_pod() {
  local id
  id=$(id_of "$1" "$2")
  shift 2
  inside "$id" "$@"
}
# log_of POD CONTAINER: what it has written, as the kubelet tells.
log_of() { curl -skf --max-time 60 "https://127.0.0.1:10250/containerLogs/default/$1-$(hostname)/$2"; }
# cgroup_of POD CONTAINER: its directory.
cgroup_of() {
  printf '/sys/fs/cgroup%s\n' "$(sed -n 's/^0:://p' "/proc/$(pid_of "$1" "$2")/cgroup")"
}

# configure_kubelet NAME adds a drop-in of the kubelet's configuration from standard input, and restarts it;
# forget_configuration NAME takes it away again.
configure_kubelet() {
  { printf 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n' && cat; } >"/etc/kubernetes/kubelet.d/$1.conf"
  restart_kubelet
}
forget_configuration() {
  rm -f "/etc/kubernetes/kubelet.d/$1.conf"
  restart_kubelet
}
restart_kubelet() {
  systemctl restart kubelet.service
  eventually 120 curl -sf http://127.0.0.1:10248/healthz
}
