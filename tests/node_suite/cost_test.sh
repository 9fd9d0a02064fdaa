# What pods and containers cost the node.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # called by name; $scratch is the runner's

test_twenty_containers_add_no_mount_and_no_process_of_ours() {
  local pod_id number mounts processes
  pod_id=$(pod many)
  mounts=$(wc -l </proc/self/mountinfo)
  ours() { pgrep -c 'cri-nspawnd|spawner|systemd-nspawn|pause|init$' || true; }
  processes=$(ours)
  for number in {1..20}; do started many "$pod_id" "c$number" >/dev/null; done
  equals 20 "$(crictl ps -q --pod "$pod_id" | wc -l)"
  equals "$mounts" "$(wc -l </proc/self/mountinfo)" 'the number of mounts'
  equals "$processes" "$(ours)" 'the number of processes of ours'
}

test_a_pod_that_has_run_for_a_while_has_one_control_group_for_its_machine() {
  local before pod_id unit
  before=$(traces)
  pod_id=$(pod settled)
  unit=$(machine_of "$pod_id").service
  group() { printf '/sys/fs/cgroup%s\n' "$(systemctl show -P ControlGroup "$unit")"; }
  eventually 30 eval '[[ $(find "$(group)" -type d | wc -l) == 1 ]]'
  equals 2 "$(wc -l <"$(group)/cgroup.procs")" 'the number of processes in it'
  inside "$(started settled "$pod_id" main)" true
  # Also one that was there before the daemon.
  pod_id=$(pod older)
  unit=$(machine_of "$pod_id").service
  kill_daemon
  eventually 30 eval '[[ $(find "$(group)" -type d | wc -l) == 1 ]]'
  machinectl terminate "${unit%.service}"
  remove_all_pods
  unchanged "$before"
}

test_a_removed_pod_leaves_nothing() {
  local before pod_id
  before=$(traces)
  pod_id=$(pod gone)
  started gone "$pod_id" first
  created gone "$pod_id" second
  crictl rmp -f "$pod_id"
  unchanged "$before"
}
