# Namespaces of pods and containers, and what is set in them.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

inside() { crictl exec -s "$@"; }

test_a_container_joins_the_processes_of_its_target() {
  local pod_id first second
  pod_id=$(pod target)
  first=$(started target "$pod_id" first '.command = ["sleep", "4321"]')
  second=$(started target "$pod_id" second \
    '.linux.security_context.namespace_options = {pid: 3, target_id: $ARGS.positional[0]}' "$first")
  equals sleep "$(inside "$second" cat /proc/1/comm)"
  contains "$(inside "$second" sh -c 'tr "\0" " " </proc/1/cmdline')" 4321
  equals "$(inside "$first" readlink /proc/self/ns/pid)" "$(inside "$second" readlink /proc/self/ns/pid)"
  refused 'does not run in this pod' created target "$pod_id" third \
    '.linux.security_context.namespace_options = {pid: 3, target_id: "nobody"}'
  pod_id=$(pod other)
  refused 'does not run in this pod' created other "$pod_id" third \
    '.linux.security_context.namespace_options = {pid: 3, target_id: $ARGS.positional[0]}' "$first"
}

test_a_container_can_have_the_processes_of_the_node() {
  local pod_id id
  pod_id=$(pod node '.linux.security_context.namespace_options.pid = 2')
  id=$(started node "$pod_id" main '.linux.security_context.namespace_options.pid = 2')
  equals systemd "$(inside "$id" cat /proc/1/comm)"
}

test_interprocess_communication_is_the_pods_or_the_nodes() {
  local pod_id first second own=$scratch/own
  pod_id=$(pod ipc)
  first=$(started ipc "$pod_id" first)
  second=$(started ipc "$pod_id" second)
  equals "$(inside "$first" readlink /proc/self/ns/ipc)" "$(inside "$second" readlink /proc/self/ns/ipc)"
  [[ $(inside "$first" readlink /proc/self/ns/ipc) != "$(readlink /proc/self/ns/ipc)" ]]
  inside "$first" sh -c 'echo shared >/dev/shm/file'
  equals shared "$(inside "$second" cat /dev/shm/file)"
  [[ ! -e /dev/shm/file ]]
  pod_id=$(pod node-ipc '.linux.security_context.namespace_options.ipc = 2')
  first=$(started node-ipc "$pod_id" main '.linux.security_context.namespace_options.ipc = 2')
  equals "$(readlink /proc/self/ns/ipc)" "$(inside "$first" readlink /proc/self/ns/ipc)"
  touch "/dev/shm/${own//\//-}"
  inside "$first" test -e "/dev/shm/${own//\//-}"
  rm "/dev/shm/${own//\//-}"
}

test_a_pod_has_its_host_name() {
  local pod_id id
  pod_id=$(pod named '.hostname = "box"')
  id=$(started named "$pod_id" main)
  equals box "$(inside "$id" hostname)"
  [[ $(hostname) != box ]]
  pod_id=$(pod outside '.linux.security_context.namespace_options.network = 2')
  id=$(started outside "$pod_id" main '.linux.security_context.namespace_options.network = 2')
  equals "$(hostname)" "$(inside "$id" hostname)"
}

test_sysctls_are_set_in_the_pod_only() {
  local pod_id id before
  of_node() { cd /proc/sys && cat net/ipv4/ip_local_port_range net/ipv4/ping_group_range kernel/shm_rmid_forced fs/mqueue/msg_max; }
  before=$(of_node)
  pod_id=$(pod sysctls '.linux.sysctls = {"net.ipv4.ip_local_port_range": "2000 2100", "net/ipv4/ping_group_range": "0 7",
    "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "17"}')
  id=$(started sysctls "$pod_id" main)
  equals '2000 2100' "$(inside "$id" cat /proc/sys/net/ipv4/ip_local_port_range | xargs)"
  equals '0 7' "$(inside "$id" cat /proc/sys/net/ipv4/ping_group_range | xargs)"
  equals 1 "$(inside "$id" cat /proc/sys/kernel/shm_rmid_forced)"
  equals 17 "$(inside "$id" cat /proc/sys/fs/mqueue/msg_max)"
  equals "$before" "$(of_node)" 'what is set on the node'
}

test_hostile_sysctls_are_refused() {
  local name
  for name in 'net/../kernel/core_pattern' 'net..kernel' '/net/ipv4/x' 'kernel.core_pattern' 'vm.swappiness' 'kernel.hostname'; do
    refused 'InvalidArgument.*sysctl' pod hostile ".linux.sysctls = {\"$name\": \"1\"}"
  done
  refused 'one line of text' pod hostile '.linux.sysctls = {"net.ipv4.ip_forward": "1\n2"}'
  refused "node's network" pod hostile '.linux.sysctls = {"net.ipv4.ip_forward": "1"} |
    .linux.security_context.namespace_options.network = 2'
  refused "node's IPC" pod hostile '.linux.sysctls = {"kernel.shmmax": "1"} |
    .linux.security_context.namespace_options.ipc = 2'
  equals '' "$(crictl pods -q --name hostile)"
}

test_groups_are_merged_with_those_of_the_image_or_not() {
  local pod_id id
  pod_id=$(pod groups)
  id=$(started groups "$pod_id" merge \
    '.linux.security_context += {run_as_user: {value: 1000}, supplemental_groups: [4000], supplemental_groups_policy: 0}')
  equals '1000 50 4000' "$(inside "$id" id -G)"
  equals '1000 1000 1000 50 4000' "$(status "$id" .user.linux | jq -r '[.uid, .gid, .supplementalGroups[]] | join(" ")')"
  id=$(started groups "$pod_id" strict \
    '.linux.security_context += {run_as_user: {value: 1000}, supplemental_groups: [4000], supplemental_groups_policy: 1}')
  equals '1000 4000' "$(inside "$id" id -G)"
  id=$(started groups "$pod_id" name '.linux.security_context += {run_as_username: "app"}')
  equals 'app 1000 50' "$(inside "$id" sh -c 'echo $(id -un) $(id -G)')"
  id=$(created groups "$pod_id" nobody '.linux.security_context += {run_as_username: "no-such-user"}')
  refused 'unable to find user no-such-user' crictl start "$id"
  refused 'run_as_group is set without' created groups "$pod_id" group \
    '.linux.security_context += {run_as_group: {value: 1}}'
}

test_selinux_labels_are_honoured_where_it_is_on() {
  [[ -d /sys/fs/selinux/class ]] || skip 'the kernel of this node runs without SELinux'
  local pod_id id
  pod_id=$(pod labels '.linux.security_context.selinux_options = {type: "container_t", level: "s0:c1,c2"}')
  id=$(started labels "$pod_id" main '.linux.security_context.selinux_options = {type: "container_t", level: "s0:c1,c2"}')
  contains "$(inside "$id" cat /proc/self/attr/current | tr -d '\0')" ':container_t:s0:c1,c2$'
}
