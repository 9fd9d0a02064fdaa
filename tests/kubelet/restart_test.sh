# Restarts of the kubelet and of the daemon, and what happens to pods while either is away.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

# What changes when a container of these pods is restarted.
lives() {
  local name
  for name; do of "$name" '[.metadata.uid] + [.status | (.containerStatuses, .initContainerStatuses)[]? | [.name, .containerID, .restartCount]] | tojson'; done
}
# unharmed BEFORE POD…: they are ready, and after a few of the kubelet's rounds nothing was restarted.
unharmed() {
  local before=$1 name
  shift
  for name; do ready "$name"; done
  sleep 15
  equals "$before" "$(lives "$@")" 'what runs'
}

pods_kubelet_and_daemon_restart_without_harm() {
  manifest plain <<EOF
containers:
  - {name: one, image: $busybox, command: [sleep, inf]}
  - {name: two, image: $nginx, readinessProbe: {httpGet: {path: /, port: 80}, timeoutSeconds: 20}}
EOF
  manifest with-sidecar <<EOF
initContainers:
  - {name: first, image: $busybox, command: ['true']}
  - {name: side, image: $busybox, restartPolicy: Always, command: [sleep, inf]}
containers: [{name: main, image: $busybox, command: [sleep, inf], livenessProbe: {exec: {command: ['true']}, timeoutSeconds: 20, periodSeconds: 3}}]
EOF
  manifest isolated <<EOF
hostUsers: false
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
  manifest of-host <<EOF
hostNetwork: true
hostPID: true
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
  manifest counting <<EOF
containers: [{name: main, image: $busybox, command: [sh, -c, 'n=0; while :; do n=\$((n + 1)); echo \$n; sleep 0.5; done']}]
EOF
}
all_of_them=(plain with-sidecar isolated of-host counting)

test_kubelet_and_daemon_restart_without_harm() {
  local before name from info link
  for name in "${all_of_them[@]}"; do ready "$name"; done
  before=$(lives "${all_of_them[@]}")
  from=$(date '+%Y-%m-%d %H:%M:%S')
  echo '-- the kubelet'
  restart_kubelet
  unharmed "$before" "${all_of_them[@]}"
  echo '-- the daemon'
  systemctl restart cri-nspawn.service
  unharmed "$before" "${all_of_them[@]}"
  echo '-- the daemon, killed'
  kill_daemon
  unharmed "$before" "${all_of_them[@]}"
  echo '-- both'
  systemctl stop kubelet.service cri-nspawn.service
  sleep 5
  systemctl start cri-nspawn.service kubelet.service
  eventually 120 curl -sf http://127.0.0.1:10248/healthz
  unharmed "$before" "${all_of_them[@]}"
  # Each start has the plugins compare networks with what they had made, which udev must have left alone.
  for name in plain with-sidecar isolated counting; do
    info=$(crictl inspectp "$(crictl pods -q --name "$name-$(hostname)")" | jq .info)
    equals ok "$(jq -r .networkCheck <<<"$info")" "the network of $name"
    link=$(jq -r '.cniResult.interfaces[] | select(.name | startswith("veth")) | .name' <<<"$info")
    contains "$(udevadm info --query=property "/sys/class/net/$link")" '^ID_NET_LINK_FILE=.*/80-cri-nspawn\.link$'
  done
  lacks "$(journalctl -q --no-pager -o cat -u cri-nspawn.service --since "$from")" 'check the network of'
  # Not a line was lost meanwhile.
  log_of counting main >"$scratch/lines"
  diff <(seq 1 "$(wc -l <"$scratch/lines")") "$scratch/lines"
}

pods_ends_are_seen_after_an_absence() {
  fresh absent
  manifest absent-end <<EOF
restartPolicy: Never
containers: [{name: main, image: $busybox, command: [sh, -c, 'until [ -e /told/end ]; do sleep 1; done; exit 9'], volumeMounts: [{name: told, mountPath: /told}]}]
volumes: [{name: told, hostPath: {path: $shared/absent}}]
EOF
  manifest absent-kill <<EOF
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
}
test_ends_are_seen_after_an_absence() {
  local pid
  becomes absent-end "$(container main) | .state.running != null"
  ready absent-kill
  pid=$(pid_of absent-kill main)
  systemctl stop kubelet.service cri-nspawn.service
  touch "$shared/absent/end"
  kill -KILL "$pid"
  sleep 5
  systemctl start cri-nspawn.service kubelet.service
  eventually 120 curl -sf http://127.0.0.1:10248/healthz
  becomes absent-end "$has_ended"
  equals 9 "$(of absent-end "$(container main) | .state.terminated.exitCode")" 'the exit code'
  becomes absent-kill "$(container main) | .restartCount == 1 and .ready"
  equals 137 "$(of absent-kill "$(container main) | .lastState.terminated.exitCode")" 'the exit code'
}

# With events the kubelet lists only every five minutes: what it knows earlier, an event has told.
pods_events_tell_the_kubelet() {
  manifest before-events <<EOF
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
}
test_events_tell_the_kubelet() {
  local before
  ready before-events
  before=$(lives before-events)
  configure_kubelet events <<'EOF'
featureGates: {EventedPLEG: true}
EOF
  ready before-events
  eventually 60 eval '(( $(pleg_metric evented_pleg_connection_success_count) >= 1 ))'
  equals "$before" "$(lives before-events)" 'what runs'
  # The first round of lists has been.
  sleep 10
  kill -KILL "$(pid_of before-events main)"
  becomes before-events "$(container main) | .restartCount >= 1 and .ready" 60
  manifest by-event <<EOF
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
  ready by-event 90
  # The daemon's absence breaks the stream. The kubelet asks again, five times without a pause between; when that was too
  # early, it lists every second as without events.
  systemctl restart cri-nspawn.service
  eventually 60 eval '(( $(pleg_metric evented_pleg_connection_error_count) >= 5 ||
    $(pleg_metric evented_pleg_connection_success_count) >= 2 ))'
  eventually 60 daemon_answers
  kill -KILL "$(pid_of by-event main)"
  becomes by-event "$(container main) | .restartCount >= 1 and .ready" 90
}
pleg_metric() { curl -sf --max-time 60 http://127.0.0.1:10255/metrics | sed -n "s/^kubelet_$1 //p"; }

after_file() {
  rm -f "$manifests"/*.yaml
  forget_configuration events
  eventually 300 no_pods
}
