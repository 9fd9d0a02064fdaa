# What an operator of the node sees of its pods with the tools of systemd, and what the kubelet makes of what the operator does.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2317

# shellcheck source=tests/cluster/cluster_lib.sh
source ./cluster_lib.sh
namespace=shop

objects_of_all() {
  pod till 'labels: {tier: front}' <<END
containers:
  - name: counter
    image: $busybox
    command: [sh, -c, 'i=0; while :; do i=\$((i + 1)); echo "customer \$i"; echo "\$i" >/count; sleep 1; done']
    resources: {requests: {cpu: 50m, memory: 32Mi}, limits: {cpu: 250m, memory: 64Mi}}
  - {name: side, image: $busybox, command: [sh, -c, 'echo "a fault" >&2; exec sleep inf']}
END
}
machine() { machinectl list --no-legend | awk '/^shop-till-[0-9a-f]+ / {print $1}'; }
test_machines_are_pods_and_their_names_say_which() {
  ready till
  contains "$(machinectl list --no-legend)" '^shop-till-[0-9a-f]{12} +container systemd-nspawn'
  local text
  text=$(machinectl status --no-pager "$(machine)")
  contains "$text" 'Service: systemd-nspawn; class container'
  contains "$text" 'Leader: [0-9]+ \(pause\)'
  contains "$text" "Unit: $(machine).service"
  contains "$text" "^shop-till-[0-9a-f]+\\($(of pod/till .metadata.uid | tr -d -)\\)"
  contains "$(systemctl show -P Description "$(machine).service")" '^Pod shop/till$'
}

# Where the control groups of a pod's units are.
slice() {
  if has_controllers; then
    echo "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod$(of pod/till .metadata.uid | tr - _).slice"
  else
    echo machine.slice
  fi
}
test_a_containers_unit_tells_what_it_is() {
  ready till
  local unit text
  unit=$(unit_of till counter).service
  contains "$unit" '^shop-till-counter-[0-9a-f]{12}\.service$'
  text=$(systemctl status --no-pager "$unit")
  contains "$text" 'Container counter of pod shop/till'
  contains "$text" 'Active: active \(running\)'
  contains "$text" "CGroup: /$(slice)"
  ! has_controllers || contains "$text" 'Memory: .*max: 64\.0M'
  text=$(systemctl cat "$unit")
  contains "$text" '^\[X-Kubernetes\]$'
  contains "$text" '^Namespace=shop$'
  contains "$text" '^Pod=till$'
  contains "$text" "^PodUID=$(of pod/till .metadata.uid)\$"
  contains "$text" '^Container=counter$'
  contains "$text" "^Image=$busybox\$"
  contains "$text" '^Label=io.kubernetes.pod.name=till$'
  contains "$text" '^MemoryMax=67108864$'
  text=$(systemctl show "$unit" -p MemoryMax -p CPUQuotaPerSecUSec -p CPUWeight -p Slice -p MainPID -p ExecMainStatus)
  contains "$text" '^MemoryMax=67108864$'
  contains "$text" '^CPUQuotaPerSecUSec=250ms$'
  contains "$text" "^Slice=$(slice | sed 's|.*/||')\$"
  contains "$text" '^MainPID=[1-9][0-9]*$'
}

test_trees_and_tables_of_control_groups_name_pods_and_containers() {
  ready till
  local text
  text=$(systemd-cgls --no-pager --full "/$(slice)")
  contains "$text" "$(machine).service"
  contains "$text" "$(unit_of till counter).service"
  contains "$text" '[0-9]+ sh -c i=0; while'
  contains "$(systemd-cgtop --batch --raw --iterations=2 --delay=2 --depth=6 "$(slice | sed 's|/.*||')")" "$(unit_of till counter).service +[0-9]+"
}

test_images_of_portable_services_are_containers() {
  ready till
  contains "$(portablectl list --no-legend)" '^shop-till-counter-[0-9a-f]{12} +directory .* running-runtime *$'
}

test_the_journal_tells_of_a_pods_life() {
  ready till
  local text
  text=$(journalctl -q --no-pager -o cat -u "$(unit_of till counter).service" -u "$(machine).service")
  contains "$text" '^Started .*Container counter of pod shop/till'
  contains "$text" '^Started .*Pod shop/till'
}

objects_a_killed_container_is_an_exit_and_restarted_by_policy() {
  pod killed <<END
containers:
  - {name: main, image: $busybox, command: [sh, -c, 'trap "exit 5" TERM; while :; do sleep 1; done']}
END
  pod once <<END
restartPolicy: Never
containers: [{name: main, image: $busybox, command: [sh, -c, 'trap "exit 6" TERM; while :; do sleep 1; done']}]
END
}
test_a_killed_container_is_an_exit_and_restarted_by_policy() {
  ready killed once
  systemctl kill --signal=KILL "$(unit_of killed main).service"
  becomes pod/killed '.status.containerStatuses[0] | .restartCount == 1 and .ready and .lastState.terminated.exitCode == 137'
  systemctl stop "$(unit_of killed main).service"
  becomes pod/killed '.status.containerStatuses[0] | .restartCount == 2 and .ready and .lastState.terminated.exitCode == 5'
  systemctl stop "$(unit_of once main).service"
  becomes pod/once '.status.phase == "Failed" and .status.containerStatuses[0].state.terminated.exitCode == 6'
  equals 0 "$(of pod/once '.status.containerStatuses[0].restartCount')" 'the count of restarts'
}

objects_a_machine_that_is_terminated_is_made_anew() {
  sleeper ended
}
test_a_machine_that_is_terminated_is_made_anew() {
  ready ended
  local id
  id=$(container_id ended main)
  machinectl terminate "$(machinectl list --no-legend | awk '/^shop-ended-/ {print $1}')"
  becomes pod/ended ".status.containerStatuses[0] | .ready and (.containerID | endswith(\"$id\") | not)"
}

test_a_frozen_container_stands_still_and_goes_on() {
  ready till
  local unit id count
  unit=$(unit_of till counter).service id=$(container_id till counter)
  systemctl freeze "$unit"
  equals frozen "$(systemctl show -P FreezerState "$unit")"
  count=$(k logs till -c counter --tail=1)
  sleep 10
  equals "$count" "$(k logs till -c counter --tail=1)" 'the last line'
  systemctl thaw "$unit"
  equals running "$(systemctl show -P FreezerState "$unit")"
  eventually 60 eval '[[ $(k logs till -c counter --tail=1) != "$count" ]]'
  equals "$id 0" "$(container_id till counter) $(of pod/till '.status.containerStatuses[0].restartCount')" 'the container'
}
