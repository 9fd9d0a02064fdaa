# What a container may and may not do.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

of_init() { inside "$1" sed -n "s/^$2:[[:space:]]*//p" /proc/1/status; }

test_a_container_has_the_default_capabilities_and_filter() {
  local pod_id id
  pod_id=$(pod plain)
  id=$(started plain "$pod_id" main '.linux.security_context.seccomp = {profile_type: 0}')
  # The set that containerd and CRI-O give.
  equals 00000000a80425fb "$(of_init "$id" CapEff)" 'the capability set'
  equals 00000000a80425fb "$(of_init "$id" CapBnd)"
  equals 2 "$(of_init "$id" Seccomp)"
  refused . inside "$id" unshare -U true
}

test_capabilities_are_dropped_and_added() {
  local pod_id id
  pod_id=$(pod caps)
  id=$(started caps "$pod_id" main \
    '.linux.security_context.capabilities = {drop_capabilities: ["ALL"], add_capabilities: ["NET_ADMIN"]}')
  equals 0000000000001000 "$(of_init "$id" CapEff)"
}

test_no_new_privileges_is_set_when_asked() {
  local pod_id id
  pod_id=$(pod nnp)
  id=$(started nnp "$pod_id" main '.linux.security_context.no_new_privs = true')
  equals 1 "$(of_init "$id" NoNewPrivs)"
}

test_a_container_sees_its_own_processes_only() {
  local pod_id id
  pod_id=$(pod pids)
  id=$(started pids "$pod_id" main)
  equals sleep "$(inside "$id" cat /proc/1/comm)"
  (($(inside "$id" sh -c 'ls -d /proc/[0-9]*' | wc -l) < 6))
}

test_system_paths_are_masked_or_read_only() {
  local pod_id id
  pod_id=$(pod masked)
  id=$(started masked "$pod_id" main \
    '.linux.security_context += {masked_paths: ["/proc/kcore", "/proc/keys"], readonly_paths: ["/proc/sys"]}')
  equals 0 "$(inside "$id" sh -c 'cat /proc/keys | wc -c')"
  refused 'Read-only' inside "$id" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  refused 'Read-only|denied' inside "$id" sh -c 'mkdir /sys/fs/cgroup/mine'
}

test_a_read_only_root_filesystem_refuses_writes() {
  local pod_id id
  pod_id=$(pod fixed)
  id=$(started fixed "$pod_id" main '.linux.security_context.readonly_rootfs = true')
  refused 'Read-only' inside "$id" touch /file
  inside "$id" touch /dev/shm/file
}

test_what_a_container_writes_is_its_own() {
  local pod_id first second
  pod_id=$(pod writes)
  first=$(started writes "$pod_id" first)
  second=$(started writes "$pod_id" second)
  inside "$first" sh -c 'echo mine >/etc/motd'
  refused . inside "$second" grep mine /etc/motd
}

test_the_user_of_the_image_is_taken() {
  local pod_id id
  crictl pull "$registry/base:app"
  pod_id=$(pod user)
  id=$(started user "$pod_id" main 'del(.command) | .image.image = $ARGS.positional[0]' "$registry/base:app")
  equals 'uid=1000(app) gid=1000(app) groups=50(staff),1000(app)' "$(inside "$id" id)"
  equals /home/app "$(inside "$id" pwd)"
  eventually 5 grep -q 'stdout F hello from the image' "$scratch/logs/user/main.log"
}

test_the_user_of_the_pod_is_taken() {
  local pod_id id
  pod_id=$(pod user)
  id=$(started user "$pod_id" main \
    '.linux.security_context += {run_as_user: {value: 4711}, run_as_group: {value: 4712}, supplemental_groups: [4713]}')
  equals '4711 4712 4712 4713' "$(inside "$id" sh -c 'echo $(id -u) $(id -g) $(id -G)')"
  equals 0000000000000000 "$(of_init "$id" CapEff)"
}

test_a_privileged_container_has_all_devices_and_capabilities() {
  local pod_id id
  pod_id=$(pod mighty '.linux.security_context.privileged = true')
  id=$(started mighty "$pod_id" main '.linux.security_context += {privileged: true, seccomp: {profile_type: 0}}')
  equals "$(sed -n 's/^CapBnd:\t//p' /proc/1/status)" "$(of_init "$id" CapEff)"
  equals 0 "$(of_init "$id" Seccomp)"
  inside "$id" mount -t tmpfs none /tmp
}

test_devices_are_denied_unless_given() {
  local pod_id id
  pod_id=$(pod devices)
  id=$(started devices "$pod_id" main)
  equals 'full null ptmx pts random shm stderr stdin stdout tty urandom zero' \
    "$(inside "$id" ls /dev | grep -vxE 'core|fd|mqueue|console' | sort | xargs)"
  inside "$id" sh -c 'echo gone >/dev/null'
  refused . inside "$id" sh -c 'mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk'
}

test_volumes_are_mounted_as_asked() {
  local pod_id id
  mkdir -p "$scratch/volume"
  echo content >"$scratch/volume/file"
  pod_id=$(pod volumes)
  id=$(started volumes "$pod_id" main '.mounts = [
      {container_path: "/writable", host_path: $ARGS.positional[0]},
      {container_path: "/fixed/deep", host_path: $ARGS.positional[0], readonly: true},
      {container_path: "/one-file", host_path: ($ARGS.positional[0] + "/file")}]' "$scratch/volume")
  equals content "$(inside "$id" cat /fixed/deep/file)"
  equals content "$(inside "$id" cat /one-file)"
  inside "$id" touch /writable/made
  [[ -e $scratch/volume/made ]]
  refused 'Read-only' inside "$id" touch /fixed/deep/other
  equals 3 "$(crictl inspect "$id" | jq '.status.mounts | length')"
}

test_mounts_propagate_as_asked() {
  local pod_id id
  mkdir -p "$scratch/both" "$scratch/host"
  mount -t tmpfs both "$scratch/both"
  mount --make-shared "$scratch/both"
  mount -t tmpfs host "$scratch/host"
  mount --make-shared "$scratch/host"
  pod_id=$(pod spread '.linux.security_context.privileged = true')
  id=$(started spread "$pod_id" main '.linux.security_context.privileged = true | .mounts = [
      {container_path: "/both", host_path: ($ARGS.positional[0] + "/both"), propagation: 2},
      {container_path: "/host", host_path: ($ARGS.positional[0] + "/host"), propagation: 1}]' "$scratch")
  inside "$id" sh -c 'mkdir /both/inner && mount -t tmpfs inner /both/inner && touch /both/inner/seen'
  local status=0
  [[ -e $scratch/both/inner/seen ]] || status=1
  mkdir "$scratch/host/outer"
  mount -t tmpfs outer "$scratch/host/outer"
  touch "$scratch/host/outer/seen"
  inside "$id" ls /host/outer/seen || status=1
  crictl rmp -f "$pod_id"
  umount "$scratch/both/inner" || status=1
  umount "$scratch/host/outer" "$scratch/host" "$scratch/both"
  return "$status"
}

test_pods_have_their_own_names_and_resolver() {
  local pod_id id
  pod_id=$(pod named '.hostname = "box" | .dns_config = {servers: ["10.0.0.10"], searches: ["cluster.local"], options: ["ndots:5"]}')
  id=$(started named "$pod_id" main)
  equals 'nameserver 10.0.0.10' "$(inside "$id" grep nameserver /etc/resolv.conf)"
  contains "$(inside "$id" cat /etc/resolv.conf)" 'search cluster.local'
  contains "$(inside "$id" cat /etc/resolv.conf)" 'options ndots:5'
  equals box "$(inside "$id" cat /etc/hostname)"
}

test_a_host_network_pod_has_the_addresses_of_the_node() {
  local pod_id id
  pod_id=$(pod outside '.linux.security_context.namespace_options.network = 2')
  id=$(started outside "$pod_id" main '.linux.security_context.namespace_options.network = 2')
  equals "$(readlink /proc/1/ns/net)" "$(inside "$id" readlink /proc/1/ns/net)"
}

test_containers_of_a_pod_can_share_processes() {
  local pod_id id
  pod_id=$(pod family '.linux.security_context.namespace_options.pid = 0')
  id=$(started family "$pod_id" main '.linux.security_context.namespace_options.pid = 0')
  started family "$pod_id" other '.linux.security_context.namespace_options.pid = 0 | .command = ["sleep", "4321"]'
  contains "$(inside "$id" sh -c 'cat /proc/[0-9]*/cmdline | tr "\0" " "')" 'sleep 4321'
  equals pause "$(inside "$id" cat /proc/1/comm)"
}
