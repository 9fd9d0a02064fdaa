# The short form: what every cluster relies on every minute.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

pods_the_kubelet_takes_the_cgroup_driver_from_the_runtime() {
  manifest placed <<EOF
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    resources: {requests: {cpu: 50m, memory: 20Mi}, limits: {memory: 40Mi}}
EOF
}
test_the_kubelet_takes_the_cgroup_driver_from_the_runtime() {
  contains "$(curl -skf https://127.0.0.1:10250/configz | jq -r .kubeletconfig.cgroupDriver)" '^systemd$'
  ready placed
  local cgroup
  cgroup=$(cgroup_of placed main)
  contains "$cgroup" '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod[0-9a-f_]+\.slice/.*\.service'
  equals $((40 << 20)) "$(cat "$cgroup/memory.max")" memory.max
}

pods_init_containers_and_sidecars_start_in_order() {
  fresh order
  # The sidecar has no startup probe: being started is enough for those that come after it.
  manifest order <<EOF
volumes: [{name: order, hostPath: {path: $shared/order}}]
initContainers:
  - {name: first, image: $busybox, command: [sh, -c, 'sleep 2; echo first >>/order/log'], volumeMounts: [{name: order, mountPath: /order}]}
  - name: sidecar
    image: $busybox
    restartPolicy: Always
    command: [sh, -c, 'echo sidecar >>/order/log; trap "echo sidecar-ended >>/order/log; exit" TERM; while :; do sleep 1; done']
    volumeMounts: [{name: order, mountPath: /order}]
    startupProbe: {exec: {command: [grep, sidecar, /order/log]}, periodSeconds: 2, timeoutSeconds: 20, failureThreshold: 60}
  - {name: second, image: $busybox, command: [sh, -c, 'echo second >>/order/log'], volumeMounts: [{name: order, mountPath: /order}]}
containers:
  - {name: one, image: $busybox, command: [sh, -c, 'echo main >>/order/log; exec sleep inf'], volumeMounts: [{name: order, mountPath: /order}]}
  - {name: two, image: $nginx}
EOF
}
test_init_containers_and_sidecars_start_in_order() {
  ready order
  equals 'first sidecar second main' "$(paste -sd ' ' "$shared/order/log")" 'the order'
  equals 'true true true' "$(of order '[.status.initContainerStatuses[].ready] | map(tostring) | join(" ")')" 'readiness of init containers'
  contains "$(curl -sf "http://$(of order .status.podIP)/")" 'portable service'
}

pods_a_failing_liveness_probe_restarts_its_container() {
  manifest unwell <<EOF
containers:
  - name: main
    image: $busybox
    command: [sh, -c, 'touch /alive; sleep 5; [ -e /before/one ] || rm /alive; touch /before/one; exec sleep inf']
    livenessProbe: {exec: {command: [test, -e, /alive]}, periodSeconds: 3, failureThreshold: 1, timeoutSeconds: 20}
    volumeMounts: [{name: before, mountPath: /before}]
volumes: [{name: before, emptyDir: {}}]
EOF
}
test_a_failing_liveness_probe_restarts_its_container() {
  becomes unwell "$(container main) | .restartCount == 1 and .ready"
  equals 137 "$(of unwell "$(container main) | .lastState.terminated.exitCode")" 'the exit code'
}

pods_probes_of_every_kind_make_a_pod_ready() {
  manifest probed <<EOF
containers:
  - name: http
    image: $agnhost
    args: [netexec, --http-port=8080, --udp-port=-1]
    readinessProbe: {httpGet: {path: /hostname, port: 8080}, timeoutSeconds: 20}
    startupProbe: {tcpSocket: {port: 8080}, timeoutSeconds: 20, failureThreshold: 60}
  - name: grpc
    image: $agnhost
    args: [grpc-health-checking, --port=5000, --http-port=8081]
    readinessProbe: {grpc: {port: 5000}, timeoutSeconds: 20}
EOF
}
test_probes_of_every_kind_make_a_pod_ready() {
  ready probed
}

pods_a_failed_pull_tells_why() {
  manifest nowhere <<EOF
containers: [{name: main, image: $registry/missing/image:1}]
EOF
}
test_a_failed_pull_tells_why() {
  becomes nowhere "$(container main) | .state.waiting.reason == \"ErrImagePull\" or .state.waiting.reason == \"ImagePullBackOff\""
  contains "$(of nowhere "$(container main) | .state.waiting.message")" "missing/image:1"
  contains "$(of nowhere "$(container main) | .state.waiting.message")" 'not found|404'
}

pods_exit_codes_and_messages_reach_the_status() {
  manifest ending <<EOF
restartPolicy: Never
containers:
  - {name: told, image: $busybox, command: [sh, -c, 'printf "a last word" >/dev/termination-log; exit 3']}
  - {name: logged, image: $busybox, command: [sh, -c, 'echo from the log; exit 4'], terminationMessagePolicy: FallbackToLogsOnError}
  - {name: good, image: $busybox, command: ['true']}
EOF
}
test_exit_codes_and_messages_reach_the_status() {
  becomes ending "$has_ended"
  equals Failed "$(of ending .status.phase)" 'the phase'
  equals '3 Error a last word' "$(of ending "$(container told) | .state.terminated | \"\(.exitCode) \(.reason) \(.message)\"")"
  equals '4 Error from the log' "$(of ending "$(container logged) | .state.terminated | \"\(.exitCode) \(.reason) \(.message)\"" | head -n1)"
  equals '0 Completed' "$(of ending "$(container good) | .state.terminated | \"\(.exitCode) \(.reason)\"")"
}

test_commands_run_through_the_kubelet() {
  ready placed
  contains "$(curl -skf -X POST "https://127.0.0.1:10250/run/default/placed-$(hostname)/main?cmd=cat%20/etc/hostname")" "^placed-$(hostname)$"
}

test_logs_are_read_through_the_kubelet() {
  becomes ending "$has_ended"
  equals 'from the log' "$(log_of ending logged)"
}

test_the_summary_names_pods_and_what_they_use() {
  ready placed
  local summary
  eventually 120 eval '[[ $(summary_of placed | jq ".containers[0].memory.workingSetBytes > 0") == true ]]'
  summary=$(summary_of placed)
  contains "$(jq -r '.containers[].name' <<<"$summary")" '^main$'
}
summary_of() {
  curl -sf --max-time 60 http://127.0.0.1:10255/stats/summary | jq --arg name "$1-$(hostname)" '.pods[] | select(.podRef.name == $name)'
}

test_restarts_of_daemon_and_kubelet_leave_pods_alone() {
  local before
  ready placed
  ready order
  ready probed
  before=$(lives placed order probed)
  systemctl restart cri-nspawn.service
  eventually 60 daemon_answers
  ready order
  restart_kubelet
  ready placed
  ready order
  ready probed
  systemctl restart cri-nspawn.service kubelet.service
  eventually 120 curl -sf http://127.0.0.1:10248/healthz
  ready placed
  ready order
  ready probed
  # What a kubelet that does not know its pods would do, it does in its first rounds.
  sleep 20
  equals "$before" "$(lives placed order probed)" 'what runs'
}
# lives POD…: what changes when a container of theirs is restarted.
lives() {
  local name
  for name; do of "$name" '[.status | (.containerStatuses, .initContainerStatuses)[]? | [.name, .containerID, .restartCount]] | sort'; done
}

test_a_removed_manifest_ends_its_pod() {
  rm "$manifests/order.yaml"
  eventually 120 eval '[[ -z $(crictl pods -q --name "order-$(hostname)") ]]'
  # A sidecar ends last.
  contains "$(tail -n1 "$shared/order/log")" sidecar-ended
}
