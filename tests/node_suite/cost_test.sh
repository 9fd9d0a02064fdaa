# What pods and containers cost the node.
# shellcheck shell=bash disable=SC2154  # $scratch is the runner's

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

test_a_removed_pod_leaves_nothing() {
  local before pod_id
  before=$(traces)
  pod_id=$(pod gone)
  started gone "$pod_id" first
  created gone "$pod_id" second
  crictl rmp -f "$pod_id"
  unchanged "$before"
}
