# Ends for want of memory.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # containers' shells expand; $scratch is the runner's

test_an_end_for_want_of_memory_is_told() {
  [[ -e /sys/fs/cgroup/system.slice/memory.events ]] || skip 'memory is not controlled on this node'
  local pod_id id group
  pod_id=$(pod hungry)
  for group in '{}' '{"memory.oom.group": "0"}' '{"memory.oom.group": "1"}'; do
    id=$(started hungry "$pod_id" "main${#group}${group: -3:1}" '.linux.resources = {memory_limit_in_bytes: 33554432, memory_swap_limit_in_bytes: 33554432, unified: '"$group"'} |
      .command = ["sh", "-c", "sleep 1; exec tail -c 100000000 /dev/zero"]')
    eventually 60 in_state "$id" EXITED
    equals '137 OOMKilled' "$(status "$id" .exitCode) $(status "$id" .reason)" "with $group the end"
  done
  # Without a group the main process goes on when a child of it is killed.
  id=$(started hungry "$pod_id" child '.linux.resources = {memory_limit_in_bytes: 33554432, memory_swap_limit_in_bytes: 33554432} |
    .command = ["sh", "-c", "sleep 1; tail -c 100000000 /dev/zero; echo the child ended with $?; exit 3"]')
  eventually 60 in_state "$id" EXITED
  equals 3 "$(status "$id" .exitCode)"
  contains "$(<"$scratch/logs/hungry/child.log")" 'ended with 137'
  # Another's kill is not this one's.
  id=$(started hungry "$pod_id" stopped)
  crictl stop --timeout 0 "$id"
  equals '137 Error' "$(status "$id" .exitCode) $(status "$id" .reason)"
}
