# A pod's life: containers of every kind, restarts, hooks and endings.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

pods_containers_of_a_pod_share_its_network() {
  manifest together <<EOF
containers:
  - {name: server, image: $nginx}
  - {name: client, image: $busybox, command: [sh, -c, 'until wget -qO /page http://127.0.0.1/; do sleep 1; done; cat /page; exec sleep inf']}
EOF
}
test_containers_of_a_pod_share_its_network() {
  ready together
  eventually 60 eval 'log_of together client | grep -q "portable service"'
}

pods_a_failing_init_container_is_tried_again() {
  manifest tried <<EOF
restartPolicy: OnFailure
initContainers:
  - name: first
    image: $busybox
    command: [sh, -c, 'if [ -e /seen/it ]; then exit 0; fi; touch /seen/it; exit 1']
    volumeMounts: [{name: seen, mountPath: /seen}]
containers: [{name: main, image: $busybox, command: ['true']}]
volumes: [{name: seen, emptyDir: {}}]
EOF
}
test_a_failing_init_container_is_tried_again() {
  becomes tried "$has_ended"
  equals Succeeded "$(of tried .status.phase)" 'the phase'
  equals 1 "$(of tried "$(container first) | .restartCount")" 'the count of restarts'
}

pods_a_sidecar_restarts_by_itself_and_ends_last() {
  fresh sidecar
  manifest sidecar <<EOF
restartPolicy: Never
initContainers:
  - name: side
    image: $busybox
    restartPolicy: Always
    command: [sh, -c, 'if [ ! -e /log/once ]; then touch /log/once; exit 1; fi; trap "echo side >>/log/ends; exit" TERM; while :; do sleep 1; done']
    volumeMounts: [{name: log, mountPath: /log}]
containers:
  - name: main
    image: $busybox
    command: [sh, -c, 'sleep 25; echo main >>/log/ends']
    volumeMounts: [{name: log, mountPath: /log}]
terminationGracePeriodSeconds: 20
volumes: [{name: log, hostPath: {path: $shared/sidecar}}]
EOF
}
test_a_sidecar_restarts_by_itself_and_ends_last() {
  becomes sidecar "$has_ended"
  equals Succeeded "$(of sidecar .status.phase)" 'the phase'
  equals true "$(of sidecar "$(container side) | .restartCount >= 1")" 'that the sidecar was restarted'
  equals 'main side' "$(paste -sd ' ' "$shared/sidecar/ends")" 'the order of ends'
}

pods_restarts_back_off() {
  manifest crashing <<EOF
containers: [{name: main, image: $busybox, command: [sh, -c, 'exit 7']}]
EOF
}
test_restarts_back_off() {
  # Asked at once, as each restart changes all of it for a moment.
  becomes crashing "$(container main) | .restartCount >= 2 and .state.waiting.reason == \"CrashLoopBackOff\" and
    (.state.waiting.message | test(\"^back-off (20s|40s|1m20s|2m40s|5m0s) restarting failed container=main\")) and
    .lastState.terminated.exitCode == 7"
  # The kubelet keeps one ended container for each that there is.
  eventually 120 eval '[[ $(crictl ps -aq --pod "$(crictl pods -q --name "crashing-$(hostname)")" | wc -l) -le 2 ]]'
}

pods_restart_policies_are_kept() {
  manifest on-failure <<EOF
restartPolicy: OnFailure
containers:
  - {name: bad, image: $busybox, command: [sh, -c, '[ -e /seen/it ] || { touch /seen/it; exit 1; }'], volumeMounts: [{name: seen, mountPath: /seen}]}
  - {name: good, image: $busybox, command: ['true']}
volumes: [{name: seen, emptyDir: {}}]
EOF
  manifest by-rule <<EOF
restartPolicy: Never
containers:
  - name: main
    image: $busybox
    restartPolicy: Never
    restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]
    command: [sh, -c, '[ -e /seen/it ] || { touch /seen/it; exit 42; }; exit 43']
    volumeMounts: [{name: seen, mountPath: /seen}]
volumes: [{name: seen, emptyDir: {}}]
EOF
}
test_restart_policies_are_kept() {
  becomes on-failure "$has_ended"
  equals 'Succeeded 1 0' "$(of on-failure "\"\(.status.phase) \($(container bad).restartCount) \($(container good).restartCount)\"")"
  becomes by-rule "$has_ended"
  equals 'Failed 1 43' "$(of by-rule "\"\(.status.phase) \($(container main).restartCount) \($(container main).state.terminated.exitCode)\"")"
}

pods_hooks_run() {
  fresh hooks
  manifest hooks <<EOF
terminationGracePeriodSeconds: 60
containers:
  - name: main
    image: $busybox
    command: [sh, -c, 'trap "echo terminated >>/log/main; exit" TERM; until [ -e /log/go ]; do sleep 1; done; echo running >>/log/main; while :; do sleep 1; done']
    lifecycle:
      postStart: {exec: {command: [sh, -c, 'echo started >>/log/main; touch /log/go']}}
      preStop: {exec: {command: [sh, -c, 'echo stopping >>/log/main; sleep 2; echo stopped >>/log/main']}}
    volumeMounts: [{name: log, mountPath: /log}]
  - name: http
    image: $busybox
    command: [sleep, inf]
    lifecycle:
      postStart: {httpGet: {path: '/shell?cmd=touch%20/log/posted', port: 8080}}
      preStop: {sleep: {seconds: 3}}
# A hook is asked once, so who answers must be up before.
initContainers:
  - name: server
    image: $agnhost
    restartPolicy: Always
    args: [netexec, --http-port=8080, --udp-port=-1]
    startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 2, timeoutSeconds: 20, failureThreshold: 60}
    volumeMounts: [{name: log, mountPath: /log}]
volumes: [{name: log, hostPath: {path: $shared/hooks}}]
EOF
  manifest bad-hook <<EOF
restartPolicy: Never
containers:
  - {name: main, image: $busybox, command: [sleep, inf], lifecycle: {postStart: {exec: {command: ['false']}}}}
EOF
}
test_hooks_run() {
  ready hooks
  eventually 120 test -e "$shared/hooks/posted"
  eventually 30 grep -q running "$shared/hooks/main"
  rm "$manifests/hooks.yaml"
  eventually 120 grep -q terminated "$shared/hooks/main"
  equals 'started running stopping stopped terminated' "$(paste -sd ' ' "$shared/hooks/main")" 'the order'
  # A container whose postStart hook fails is killed.
  becomes bad-hook "$has_ended"
  equals 137 "$(of bad-hook "$(container main) | .state.terminated.exitCode")" 'the exit code'
}

pods_grace_periods_are_kept() {
  local name
  fresh grace
  for name in patient stubborn; do
    # Each writes when it was told to end, and for as long as it lives.
    manifest $name <<EOF
terminationGracePeriodSeconds: $([[ $name == patient ]] && echo 60 || echo 5)
containers:
  - name: main
    image: $busybox
    command:
      - sh
      - -c
      - |
        trap 'date +%s >/log/$name-told; $([[ $name == patient ]] && echo 'sleep 3; echo by itself >/log/patient-end; exit' || echo :)' TERM
        while :; do date +%s >/log/$name-alive; sleep 0.5; done
    volumeMounts: [{name: log, mountPath: /log}]
volumes: [{name: log, hostPath: {path: $shared/grace}}]
EOF
  done
}
test_grace_periods_are_kept() {
  local lived
  ready patient
  ready stubborn
  rm "$manifests/patient.yaml" "$manifests/stubborn.yaml"
  eventually 120 test -s "$shared/grace/patient-end"
  eventually 120 eval '[[ -z $(crictl pods -q --name "stubborn-$(hostname)") ]]'
  lived=$(($(<"$shared/grace/stubborn-alive") - $(<"$shared/grace/stubborn-told")))
  ((lived >= 3 && lived <= 12)) || fail "it lived for $lived s after the first signal, of 5"
}

pods_termination_messages_are_kept() {
  manifest last-words <<EOF
restartPolicy: Never
containers:
  - {name: elsewhere, image: $busybox, command: [sh, -c, 'echo -n moved >/tmp/end'], terminationMessagePath: /tmp/end}
  - {name: long, image: $busybox, command: [sh, -c, 'head -c 9000 /dev/zero | tr "\\\\0" x >/dev/termination-log']}
  - {name: as-user, image: $busybox, command: [sh, -c, 'id -u >/dev/termination-log'], securityContext: {runAsUser: 1000}}
  - {name: fallback, image: $busybox, command: [sh, -c, 'echo out; echo err >&2; exit 1'], terminationMessagePolicy: FallbackToLogsOnError}
EOF
}
test_termination_messages_are_kept() {
  becomes last-words "$has_ended"
  equals moved "$(of last-words "$(container elsewhere) | .state.terminated.message")"
  equals 3072 "$(of last-words "$(container long) | .state.terminated.message | length")" 'the length'
  equals 1000 "$(of last-words "$(container as-user) | .state.terminated.message")"
  equals 'err out' "$(of last-words "$(container fallback) | .state.terminated.message" | sort | xargs)"
}
