# Probes: exec, HTTP, TCP and gRPC, for startup, liveness and readiness.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

# Under emulation an exec takes a second.
patience='timeoutSeconds: 20, periodSeconds: 4'

pods_probes_of_each_kind_succeed() {
  manifest each-kind <<EOF
containers:
  - name: exec
    image: $busybox
    command: [sh, -c, 'sleep 3; touch /started; sleep 3; touch /well; exec sleep inf']
    startupProbe: {exec: {command: [test, -e, /started]}, $patience, failureThreshold: 60}
    readinessProbe: {exec: {command: [test, -e, /well]}, $patience}
    livenessProbe: {exec: {command: [test, -e, /started]}, $patience}
  - name: http
    image: $agnhost
    args: [netexec, --http-port=8080, --udp-port=-1]
    ports: [{name: web, containerPort: 8080}]
    startupProbe: {httpGet: {path: /hostname, port: web}, $patience, failureThreshold: 60}
    readinessProbe: {httpGet: {path: '/header?key=X-Probe', port: web, httpHeaders: [{name: X-Probe, value: 'yes'}]}, $patience}
    livenessProbe: {httpGet: {path: /hostname, port: 8080}, $patience}
  - name: tcp
    image: $nginx
    startupProbe: {tcpSocket: {port: 80}, $patience, failureThreshold: 60}
    readinessProbe: {tcpSocket: {port: 80}, $patience}
    livenessProbe: {tcpSocket: {port: 80}, $patience}
  - name: grpc
    image: $agnhost
    args: [grpc-health-checking, --port=5000, --http-port=8081]
    startupProbe: {grpc: {port: 5000}, $patience, failureThreshold: 60}
    readinessProbe: {grpc: {port: 5000}, $patience}
    livenessProbe: {grpc: {port: 5000}, $patience}
EOF
}
test_probes_of_each_kind_succeed() {
  ready each-kind
  equals 'true true true true' "$(of each-kind '[.status.containerStatuses[].started | tostring] | join(" ")')" 'started'
  # A few periods later.
  sleep 10
  equals '0 0 0 0' "$(of each-kind '[.status.containerStatuses[].restartCount | tostring] | join(" ")')" 'restarts'
}

pods_readiness_follows_its_probe() {
  fresh readiness
  manifest changeable <<EOF
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    readinessProbe: {exec: {command: [test, -e, /told/ready]}, timeoutSeconds: 20, periodSeconds: 2, failureThreshold: 1}
    volumeMounts: [{name: told, mountPath: /told}]
volumes: [{name: told, hostPath: {path: $shared/readiness}}]
EOF
}
test_readiness_follows_its_probe() {
  becomes changeable "$(container main) | .state.running != null and (.ready | not)"
  touch "$shared/readiness/ready"
  ready changeable 60
  rm "$shared/readiness/ready"
  becomes changeable "($is_ready) | not" 60
  equals 0 "$(of changeable "$(container main) | .restartCount")" 'the count of restarts'
}

# Each fails its first time, and not again.
pods_failing_probes_restart() {
  local kind probe
  for kind in exec http tcp grpc; do
    case $kind in
      exec) probe='exec: {command: [test, -e, /no/such/file]}' ;;
      http) probe='httpGet: {path: /, port: 9}' ;;
      tcp) probe='tcpSocket: {port: 9}' ;;
      grpc) probe='grpc: {port: 9}' ;;
    esac
    manifest "failing-$kind" <<EOF
containers:
  - name: main
    image: $busybox
    command: [sh, -c, 'trap exit TERM; while :; do sleep 1; done']
    livenessProbe: {$probe, timeoutSeconds: 20, periodSeconds: 5, failureThreshold: 1}
terminationGracePeriodSeconds: 10
EOF
  done
  manifest failing-startup <<EOF
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    # Once it has failed the liveness probe is not asked.
    startupProbe: {exec: {command: ['false']}, timeoutSeconds: 20, periodSeconds: 3, failureThreshold: 2, terminationGracePeriodSeconds: 1}
    livenessProbe: {exec: {command: ['true']}, timeoutSeconds: 20, periodSeconds: 3}
terminationGracePeriodSeconds: 300
EOF
}
test_failing_probes_restart() {
  local kind
  for kind in exec http tcp grpc startup; do
    becomes "failing-$kind" "$(container main) | .restartCount >= 1"
  done
  # It ended by itself when asked, the other one had to be killed after the period of its probe.
  equals 0 "$(of failing-tcp "$(container main) | .lastState.terminated.exitCode")" 'the exit code'
  equals 137 "$(of failing-startup "$(container main) | .lastState.terminated.exitCode")" 'the exit code'
}

pods_a_probe_that_takes_too_long_fails() {
  manifest slow-probe <<EOF
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    livenessProbe: {exec: {command: [sleep, '1000']}, timeoutSeconds: 2, periodSeconds: 5, failureThreshold: 1}
EOF
}
test_a_probe_that_takes_too_long_fails() {
  becomes slow-probe "$(container main) | .restartCount >= 1"
  # What it ran is gone with it.
  eventually 60 eval '[[ $(of slow-probe ".status.phase") == Running ]]'
  equals 0 "$(pgrep -fc '^sleep 1000$' | awk '{print ($1 > 1) ? $1 : 0}')" 'commands of probes that are left'
}
