# The control plane, the kubelet and the runtime go away all together, and come back.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2317

# shellcheck source=tests/cluster/cluster_lib.sh
source ./cluster_lib.sh
namespace=absence

objects_pods_serve_while_everything_else_is_away() {
  workload Deployment web 'replicas: 2' <<END
containers: [{name: web, image: $nginx, readinessProbe: {httpGet: {port: 80}, timeoutSeconds: 20}, livenessProbe: {httpGet: {port: 80}, timeoutSeconds: 20}}]
END
  k expose deployment web --port=80
  # It asks the service all the time, by its name for the kubelet.
  pod asker <<END
containers:
  - name: main
    image: $busybox
    command: [sh, -c, 'until timeout 20 wget -qO/dev/null "http://\$WEB_SERVICE_HOST/"; do sleep 1; done; while :; do timeout 20 wget -qO/dev/null "http://\$WEB_SERVICE_HOST/" && echo "\$(date +%s) good" || echo "\$(date +%s) bad"; sleep 1; done']
END
  pod ends <<END
restartPolicy: Never
containers: [{name: main, image: $busybox, command: [sh, -c, 'until [ -e /tmp/end ]; do sleep 1; done; echo last words; sleep 1; exit 9']}]
END
}

services=(kube-scheduler kube-controller-manager kube-proxy kubelet kube-apiserver etcd cri-nspawn)

# What changes when any container of any pod is restarted.
lives() {
  "$KUBECTL" get pods -A -o json | jq -rc '.items[] | select(.metadata.deletionTimestamp | not) | select(.metadata.name != "ends") |
    [.metadata.namespace, .metadata.name, .status.podIP, (.status.containerStatuses[]? | .name, .containerID, .restartCount)]' | sort
}
test_pods_serve_while_everything_else_is_away() {
  rolled_out deployment/web
  ready asker ends
  eventually 120 eval 'k logs asker --tail=1 | grep -q good'
  local before leaders service gone back address
  before=$(lives)
  leaders=$(processes)
  service=$(of service/web .spec.clusterIP)
  address=$(k get pods -l app=web -o json | jq -r '.items[0].status.podIP')
  systemctl stop "${services[@]/%/.service}"
  gone=$(on_node date +%s)
  # The scheduler's own way to end counts as a failure.
  for name in "${services[@]}"; do contains "$(systemctl show -P ActiveState "$name.service")" '^(inactive|failed)$'; done
  for name in kubelet cri-nspawnd kube-apiserver etcd; do lacks "$(on_node pgrep -x "$name" || true)" .; done
  for _ in 1 2 3 4 5 6; do
    contains "$(fetch "http://$service/")" 'doctype html'
    contains "$(fetch "http://$address/")" 'doctype html'
    sleep 10
  done
  equals "$leaders" "$(processes)" 'the processes of containers and pods'
  # One ends meanwhile.
  local unit
  unit=$(systemctl list-units --plain --no-legend 'absence-ends-main-*.service' | awk '{print $1}')
  on_node bash -c "touch /proc/$(systemctl show -P MainPID "$unit")/root/tmp/end"
  eventually 60 eval '[[ $(systemctl show -P SubState "$unit") == exited || $(systemctl show -P ActiveState "$unit") == failed ]]'
  back=$(on_node date +%s)
  systemctl start etcd.service kube-apiserver.service
  systemctl start cri-nspawn.service
  systemctl start --no-block kube-controller-manager.service kube-scheduler.service kube-proxy.service kubelet.service
  eventually 400 "$KUBECTL" wait --for=condition=Ready "node/$NODE" --timeout=30s
  becomes pod/ends '.status.containerStatuses[0].state.terminated.exitCode == 9'
  equals 'last words' "$(k logs ends)"
  rolled_out deployment/web
  ready asker
  # What a kubelet that does not know its pods would do, it does in its first rounds.
  sleep 30
  equals "$before" "$(lives)" 'what runs'
  # Of the pod that has ended, the kubelet has ended the machine as well.
  equals "$(grep -v ^absence-ends- <<<"$leaders")" "$(processes | grep -v ^absence-ends-)" 'the processes of containers and pods'
  # Seen from inside, nothing has happened, and no line is lost.
  local lines
  lines=$(k logs asker | awk -v from="$gone" -v to="$back" '$1 >= from && $1 <= to')
  lacks "$lines" bad
  (($(grep -c good <<<"$lines") >= 10)) || fail "it has asked only $(grep -c good <<<"$lines") times"
}
# The main processes of all units of pods, by name.
processes() {
  on_node bash -c 'for unit in $(systemctl list-units --plain --no-legend --type=service "absence-*" | cut -d" " -f1); do
    echo "$unit $(systemctl show -P MainPID "$unit")"; done' | grep -v ' 0$' | sort
}
