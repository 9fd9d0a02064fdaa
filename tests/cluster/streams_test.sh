# What kubectl connects to: logs, commands, terminals, files, ports, ephemeral containers, and figures.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2317

# shellcheck source=tests/cluster/cluster_lib.sh
source ./cluster_lib.sh
namespace=streams

# by PROTOCOL kubectl's arguments…
by() {
  local protocol=$1
  shift
  KUBECTL_REMOTE_COMMAND_WEBSOCKETS=$([[ $protocol == websocket ]] && echo true || echo false) \
  KUBECTL_PORT_FORWARD_WEBSOCKETS=$([[ $protocol == websocket ]] && echo true || echo false) k "$@"
}
protocols=(websocket spdy)

objects_of_all() { sleeper runs; }

objects_logs_are_followed_to_their_end() {
  pod writer <<END
restartPolicy: Never
containers:
  - {name: main, image: $busybox, command: [sh, -c, 'for i in 1 2 3 4 5 6; do echo "line \$i"; sleep 4; done']}
  - {name: other, image: $busybox, command: [sh, -c, 'echo another; echo wrong >&2']}
END
  pod restarted <<END
containers: [{name: main, image: $busybox, command: [sh, -c, 'if [ ! -e /seen/it ]; then echo first life; touch /seen/it; exit 1; fi; echo second life; exec sleep inf'], volumeMounts: [{name: seen, mountPath: /seen}]}]
volumes: [{name: seen, emptyDir: {}}]
END
}
test_logs_are_followed_to_their_end() {
  equals 'line 1 line 2 line 3 line 4 line 5 line 6' "$(k logs -f --pod-running-timeout=5m writer -c main | paste -sd ' ')" 'what is followed'
  equals 'line 5 line 6' "$(k logs --tail=2 writer -c main | paste -sd ' ')" 'the end'
  equals 'another wrong' "$(k logs writer -c other | sort | paste -sd ' ')"
  contains "$(k logs --timestamps --tail=1 writer -c main)" '^20[0-9-]+T[0-9:.]+Z line 6$'
  equals 'line 1' "$(k logs --limit-bytes=7 writer -c main)" 'the first seven bytes'
  becomes pod/restarted '.status.containerStatuses[0] | .restartCount == 1 and .ready'
  equals 'first life' "$(k logs --previous restarted)" 'what came before'
  equals 'second life' "$(k logs restarted)" 'what is now'
}

test_commands_run_in_containers() {
  ready runs
  local protocol status output
  head -c 1000000 /dev/urandom >"$scratch/data"
  for protocol in "${protocols[@]}"; do
    status=0
    output=$(by "$protocol" exec runs -- sh -c 'echo out; echo err >&2; exit 7' 2>"$scratch/err") || status=$?
    equals '7 out' "$status $output" "what $protocol gives"
    contains "$(<"$scratch/err")" '^err$'
    equals "$(sha256sum <"$scratch/data")" "$(by "$protocol" exec -i runs -- sha256sum <"$scratch/data")" "what $protocol sends"
    equals "$(sha256sum <"$scratch/data")" "$(by "$protocol" exec -i runs -- cat <"$scratch/data" | sha256sum)" "what $protocol brings back"
  done
}

test_a_terminal_is_real_and_changes_its_size() {
  ready runs
  local protocol
  for protocol in "${protocols[@]}"; do
    # The first line changes the size, so it waits for the one of before.
    contains "$(in_terminal 101 33 122 44 timeout --foreground 300 "$KUBECTL" exec -it -n "$namespace" runs -- sh -c '
      for size in "33 101" "44 122"; do
        until [ "$(stty size 2>/dev/null)" = "$size" ]; do sleep 0.2; done
        echo "$(tty) is $size"
      done' | tr -d '\r' | paste -sd ' ')" '^/dev/pts/[0-9]+ is 33 101 /dev/pts/[0-9]+ is 44 122$'
    export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false
  done
  unset KUBECTL_REMOTE_COMMAND_WEBSOCKETS
}

objects_a_running_container_is_attached_to() {
  local protocol
  for protocol in "${protocols[@]}"; do
    pod "shell-$protocol" <<END
restartPolicy: Never
containers: [{name: main, image: $busybox, stdin: true, stdinOnce: true, command: [sh, -c, 'while read -r line; do echo "got \$line"; done; echo ended']}]
END
  done
}
test_a_running_container_is_attached_to() {
  local protocol
  for protocol in "${protocols[@]}"; do
    ready "shell-$protocol"
    contains "$({ echo one; sleep 3; echo two; sleep 3; } | by "$protocol" attach -i "shell-$protocol" 2>&1 | paste -sd ' ')" 'got one got two'
    becomes "pod/shell-$protocol" '.status.phase == "Succeeded"'
    contains "$(k logs "shell-$protocol" | paste -sd ' ')" 'got one got two ended'
  done
}

test_files_are_copied_both_ways() {
  ready runs
  mkdir -p "$scratch/tree/inner"
  head -c 300000 /dev/urandom >"$scratch/tree/inner/data"
  ln -s inner/data "$scratch/tree/link"
  echo text >"$scratch/tree/text"
  k cp "$scratch/tree" runs:/tmp/tree
  equals "$(sha256sum <"$scratch/tree/inner/data")" "$(k exec runs -- cat /tmp/tree/inner/data | sha256sum)" 'the copy there'
  k exec runs -- sh -c 'echo more >>/tmp/tree/text'
  k cp runs:/tmp/tree "$scratch/back"
  equals 'text more' "$(paste -sd ' ' "$scratch/back/text")"
  equals "$(sha256sum <"$scratch/tree/inner/data")" "$(sha256sum <"$scratch/back/inner/data")" 'the copy here'
}

objects_ports_are_forwarded() {
  pod server 'labels: {app: server}' <<<"containers: [{name: main, image: $nginx, ports: [{containerPort: 80}]}]"
  k expose pod server --port 8080 --target-port 80
}
test_ports_are_forwarded() {
  ready server
  local protocol port what
  for protocol in "${protocols[@]}"; do
    for what in pod/server:80 service/server:8080; do
      # What the one before has written is no answer of this one.
      rm -f "$scratch/forward"
      by "$protocol" port-forward "${what%:*}" ":${what#*:}" >"$scratch/forward" 2>&1 &
      eventually 120 grep -q Forwarding "$scratch/forward"
      port=$(sed -n 's/.*127.0.0.1:\([0-9]*\) ->.*/\1/p' "$scratch/forward")
      contains "$(curl -sSf --max-time 60 "http://127.0.0.1:$port/")" 'doctype html'
      # Several at once over the same session.
      for _ in 1 2 3 4; do curl -sSf --max-time 60 -o /dev/null "http://127.0.0.1:$port/" & done
      kill -0 %1
      wait %2 %3 %4 %5
      kill %1
      wait %1 || true
    done
  done
}

objects_an_ephemeral_container_sees_its_target() {
  pod troubled <<END
containers:
  - {name: main, image: $busybox, command: [sleep, '12345']}
  - {name: other, image: $busybox, command: [sleep, inf]}
END
}
test_an_ephemeral_container_sees_its_target() {
  ready troubled
  k debug troubled --image="$busybox" --target=main --container=doctor --profile=general -- sh -c 'ps -o pid,args; echo "root: $(ls /proc/1/root/usr | head -n1)"; ls /proc/self/ns/net >/dev/null && echo done'
  becomes pod/troubled '.status.ephemeralContainerStatuses[0].state.terminated.exitCode == 0'
  local seen
  seen=$(k logs troubled -c doctor)
  contains "$seen" '^ *1 sleep 12345$'
  contains "$seen" '^root: [a-z]+$'
  lacks "$seen" 'pause|sleep inf'
  equals 0 "$(of pod/troubled '[.status.containerStatuses[].restartCount] | add')" 'the count of restarts'
  # And one that stays, into which people go.
  k debug troubled --image="$busybox" --container=stays --profile=general -- sleep inf
  becomes pod/troubled '.status.ephemeralContainerStatuses[] | select(.name == "stays") | .state.running != null'
  contains "$(k exec troubled -c stays -- ps -o args)" '^sleep inf'
}

objects_top_shows_what_nodes_and_pods_use() {
  pod busy <<END
containers: [{name: main, image: $busybox, command: [sh, -c, 'head -c 20000000 /dev/zero | tr "\\\\0" x >/memory/file; while :; do i=\$((i + 1)); [ \$((i % 20000)) != 0 ] || sleep 0.5; done'], volumeMounts: [{name: memory, mountPath: /memory}]}]
volumes: [{name: memory, emptyDir: {medium: Memory}}]
END
}
test_top_shows_what_nodes_and_pods_use() {
  has_controllers || skip 'there are no controllers, so no memory is counted'
  [[ -n ${METRICS_SERVER-} ]] || skip 'there is no metrics-server'
  ready busy
  eventually 600 eval 'k top pod busy --no-headers | grep -Eq "^busy +[1-9][0-9]*m +[0-9]+Mi"'
  local memory
  memory=$(k top pod busy --containers --no-headers | sed -n 's/.* \([0-9]*\)Mi.*/\1/p')
  ((memory >= 19 && memory <= 60)) || fail "it uses ${memory}Mi, of which 20 MB are a file in memory"
  contains "$("$KUBECTL" top node --no-headers)" "^$NODE +[0-9]+m +[0-9]+% +[0-9]+Mi"
}
