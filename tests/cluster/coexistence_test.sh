# containerd, with runc, on the same node: each runtime's pods are undisturbed by the other's start, stop and removals.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2317

# shellcheck source=tests/cluster/cluster_lib.sh
source ./cluster_lib.sh
namespace=coexistence

before_file() {
  # runc makes no container where there are no controllers.
  has_controllers || return 0
  "$KUBECTL" create namespace "$namespace" >/dev/null
  eventually 120 k get serviceaccount default
  pod ours <<<"containers: [{name: main, image: $nginx, ports: [{containerPort: 80, hostPort: 18080}]}]" >/dev/null
  on_node bash --norc -euc '
    mkdir -p /etc/containerd/net.d /etc/containerd/certs.d/127.0.0.1:5000
    jq ".name = \"other\" | .plugins[0].bridge = \"other0\" | .plugins[0].ipam.ranges = [[{subnet: \"10.86.0.0/16\"}]] |
      .plugins[0].ipam.routes = [{dst: \"0.0.0.0/0\"}]" /etc/cni/net.d/99-cri-nspawn.conflist >/etc/containerd/net.d/10-other.conflist
    cat >/etc/containerd/config.toml <<END
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "127.0.0.1:5000/pause:1"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/containerd/net.d"
END
    systemctl start containerd.service'
  eventually 120 theirs version
}
after_file() {
  has_controllers || return 0
  on_node bash -c 'crictl --runtime-endpoint unix:///run/containerd/containerd.sock rmp --all --force; systemctl stop containerd.service' >/dev/null 2>&1
  "$KUBECTL" delete namespace "$namespace" --timeout=5m >/dev/null
}
theirs() {
  on_node crictl --timeout 120s --runtime-endpoint unix:///run/containerd/containerd.sock \
    --image-endpoint unix:///run/containerd/containerd.sock "$@"
}
their_pod() {
  on_node bash --norc -euc '
    uid=$(cat /proc/sys/kernel/random/uuid)
    mkdir -p /var/tmp/their
    jq -n --arg uid "$uid" "{metadata: {name: \"theirs\", namespace: \"other\", uid: \$uid}, log_directory: \"/var/tmp/their\",
      port_mappings: [{container_port: 80, host_port: 18081}], linux: {cgroup_parent: \"other.slice\"}}" >/var/tmp/their/pod.json
    jq -n --arg image "$1" "{metadata: {name: \"web\"}, image: {image: \$image}, log_path: \"web.log\", linux: {}}" >/var/tmp/their/web.json
    crictl() { command crictl --timeout 120s --runtime-endpoint unix:///run/containerd/containerd.sock --image-endpoint unix:///run/containerd/containerd.sock "$@"; }
    crictl pull "$1" >/dev/null
    pod=$(crictl runp /var/tmp/their/pod.json)
    container=$(crictl create --no-pull "$pod" /var/tmp/their/web.json /var/tmp/their/pod.json)
    crictl start "$container" >/dev/null
    echo "$pod"' bash "$nginx"
}
our_life() { of pod/ours '"\(.status.podIP) \(.status.containerStatuses[0] | "\(.containerID) \(.restartCount)")"'; }
our_rules() { on_node bash -c 'iptables-save -t nat | grep -E "CNI-|10\\.85\\." | sort; ls /var/lib/cni/networks/cri-nspawn /var/lib/cri-nspawn/cni 2>/dev/null; ls /run/netns | grep ^cri-nspawn'; }

test_each_runs_its_own_beside_the_other() {
  has_controllers || skip 'runc needs controllers'
  ready ours
  local life rules pod address
  life=$(our_life)
  rules=$(our_rules)
  pod=$(their_pod)
  address=$(theirs inspectp "$pod" | jq -r .status.network.ip)
  contains "$address" '^10\.86\.'
  eventually 120 fetch "http://$address/"
  contains "$(fetch "http://$(pod_ip ours)/")" 'doctype html'
  contains "$(fetch http://10.0.2.15:18080/)" 'doctype html'
  contains "$(fetch http://10.0.2.15:18081/)" 'doctype html'
  # Neither shows the other's.
  lacks "$(crictl pods -o json | jq -r '.items[].metadata.name')" '^theirs$'
  equals theirs "$(theirs pods -o json | jq -r '.items[].metadata.name')"
  lacks "$(machinectl list --no-legend)" theirs
  # Theirs goes.
  theirs rmp --force "$pod"
  equals "$life" "$(our_life)" 'our pod'
  equals "$rules" "$(our_rules)" 'what our network is made of'
  contains "$(fetch http://10.0.2.15:18080/)" 'doctype html'
}

test_each_is_stopped_and_started_without_the_other_noticing() {
  has_controllers || skip 'runc needs controllers'
  ready ours
  local life pod address id
  life=$(our_life)
  pod=$(their_pod)
  address=$(theirs inspectp "$pod" | jq -r .status.network.ip)
  eventually 120 fetch "http://$address/"
  id=$(theirs ps -q)
  systemctl restart containerd.service
  eventually 120 theirs version
  contains "$(fetch "http://$(pod_ip ours)/")" 'doctype html'
  equals "$life" "$(our_life)" 'our pod'
  # Ours, which looks at start for what is left over.
  systemctl restart cri-nspawn.service
  eventually 60 crictl version
  sleep 5
  equals "$id" "$(theirs ps -q --state running)" 'their container'
  contains "$(fetch "http://$address/")" 'doctype html'
  contains "$(fetch http://10.0.2.15:18081/)" 'doctype html'
  # Ours goes, and with it its network.
  k delete pod ours
  contains "$(fetch "http://$address/")" 'doctype html'
  contains "$(fetch http://10.0.2.15:18081/)" 'doctype html'
  equals "$id" "$(theirs ps -q --state running)" 'their container'
  theirs rmp --force "$pod"
}
