# What the tests of a cluster share, beside node_suite's lib.sh. They run on this machine, with kubectl at full speed; NODE
# names the node, KUBECTL the program. A test test_NAME finds the objects that a function objects_NAME, if there is one, has
# made, and those of objects_of_all. They are made before the first test of a file, in a namespace for the file.
# shellcheck shell=bash disable=SC2034,SC2154

busybox=$registry/base:1 nginx=$registry/web:1 newer_nginx=$registry/web:2 agnhost=$registry/agnhost:1
journal_of=(-u cri-nspawn.service -u kubelet.service -u kube-apiserver.service)

on_node() { "$tests/node" exec "$NODE" -- "$@"; }
for command in crictl systemctl journalctl machinectl portablectl systemd-cgls systemd-cgtop; do
  eval "$command() { on_node $command \"\$@\"; }"
done

# Everything of a file is in the namespace that it names.
namespace=default
k() { "$KUBECTL" --namespace "$namespace" "$@"; }

objects_of_all() { :; }
before_file() {
  local name
  "$KUBECTL" create namespace "$namespace" >/dev/null
  # A pod that comes before its account is refused.
  eventually 120 k get serviceaccount default
  objects_of_all >/dev/null
  for name; do
    if declare -F "objects_${name#test_}" >/dev/null; then "objects_${name#test_}" >/dev/null; fi
  done
}
before_test() { :; }
after_test() { :; }
# The next file's tests would only wait for these pods to end.
after_file() { "$KUBECTL" delete namespace "$namespace" --timeout=5m >/dev/null || echo "namespace $namespace does not end"; }

apply() { k apply -f -; }

# spec_of_pod INDENTATION prints the spec of a pod, which it reads from standard input, in YAML. Pods end at once unless it says
# otherwise.
spec_of_pod() {
  local spec
  spec=$(cat)
  grep -q '^terminationGracePeriodSeconds:' <<<"$spec" || spec+=$'\nterminationGracePeriodSeconds: 1'
  printf '%s\n' "$spec" | sed "s/^/$1/"
}
# pod NAME [METADATA] makes a pod of a spec. METADATA is one line: labels: {…}.
pod() {
  {
    printf 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n' "$1"
    [[ -z ${2-} ]] || printf '  %s\n' "$2"
    printf 'spec:\n'
    spec_of_pod '  '
  } | apply
}
# workload KIND NAME LINE… makes a Deployment or the like of pods with a spec, which are labelled app: NAME. Each LINE of its
# own spec is one of YAML: replicas: 2.
workload() {
  {
    printf 'apiVersion: apps/v1\nkind: %s\nmetadata: {name: %s}\nspec:\n' "$1" "$2"
    printf '  %s\n' "${@:3}" "selector: {matchLabels: {app: $2}}" template:
    printf '    %s\n' "metadata: {labels: {app: $2}}" spec:
    spec_of_pod '      '
  } | apply
}
# sleeper NAME [METADATA] makes one that only is there.
sleeper() { pod "$@" <<<"containers: [{name: main, image: $busybox, command: [sleep, inf]}]"; }

# of KIND/NAME JQ-FILTER prints something of an object.
of() { k get "$1" -o json | jq -r "$2"; }
# becomes KIND/NAME JQ-CONDITION [SECONDS]: the condition comes to hold.
becomes() {
  local deadline=$((SECONDS + ${3-400}))
  until [[ $(of "$1" "$2" 2>/dev/null) == true ]]; do
    if ((SECONDS >= deadline)); then
      k describe "$1"
      fail "$1 does not get to this: $2"
    fi
    sleep 1
  done
}
is_ready='.status.conditions // [] | any(.type == "Ready" and .status == "True")'
ready() {
  local name
  for name; do becomes "pod/$name" "$is_ready"; done
}
# rolled_out KIND/NAME: all that it is made of is there and ready.
rolled_out() { k rollout status "$1" --timeout=600s || { k get pods -o wide && k describe "$1" && return 1; }; }

# pod_ip POD [FAMILY]: 4 or 6
pod_ip() {
  if [[ ${2-4} == 6 ]]; then
    of "pod/$1" '.status.podIPs[].ip | select(contains(":"))'
  else
    of "pod/$1" '.status.podIPs[].ip | select(contains(":") | not)'
  fi
}
# container_id POD CONTAINER
container_id() {
  of "pod/$1" "[.status | (.containerStatuses, .initContainerStatuses, .ephemeralContainerStatuses)[]?] |
    map(select(.name == \"$2\")) | .[0].containerID" | sed 's|.*://||'
}
# unit_of POD CONTAINER: the name of its service, without .service.
unit_of() {
  local id
  id=$(container_id "$1" "$2")
  portablectl list --no-legend | awk -v id="${id:0:12}" 'index($1, id) {print $1}'
}
# The fast kind of node has no controllers, so pods have no limits there, and no slices of their own.
has_controllers() { on_node grep -qw memory /sys/fs/cgroup/cgroup.controllers; }
# fetch URL: from the node. Of an IPv6 address in brackets, too.
fetch() { on_node curl -gsSf --max-time 60 "$@"; }
# fetch_in POD URL: from a pod of the base image.
fetch_in() { k exec "$1" -- timeout 60 wget -qO- "$2"; }
