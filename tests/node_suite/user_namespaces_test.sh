# Pods with user namespaces of their own.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

inside() { crictl exec -s "$@"; }

readonly users='{mode: 0, uids: [{host_id: 200000, container_id: 0, length: 65536}],
  gids: [{host_id: 200000, container_id: 0, length: 65536}]}'
readonly in_users=".linux.security_context.namespace_options.userns_options = $users"

need_user_namespaces() {
  local info
  info=$(crictl info)
  [[ $(jq '.runtimeHandlers[0].features.user_namespaces' <<<"$info") == true ]] ||
    skip "no user namespaces here: $(jq -r '.info.whyNoUserNamespaces // .whyNoUserNamespaces' <<<"$info")"
}

test_a_pod_has_a_user_namespace_of_its_own() {
  need_user_namespaces
  local pod_id id pid kind
  pod_id=$(pod mapped "$in_users")
  id=$(started mapped "$pod_id" main "$in_users")
  equals '0 200000 65536' "$(inside "$id" cat /proc/self/uid_map | xargs)"
  equals '0 200000 65536' "$(inside "$id" cat /proc/1/gid_map | xargs)"
  equals 'uid=0(root) gid=0(root) groups=0(root)' "$(inside "$id" id | sed 's/,.*//')"
  pid=$(crictl inspect "$id" | jq .info.pid)
  equals 200000 "$(stat -c %u "/proc/$pid")" "the program's user on the node"
  # All namespaces belong to the user namespace, so its root may change what is in them.
  for kind in pid mnt net ipc uts cgroup; do
    equals "$(readlink "/proc/$pid/ns/user")" "user:[$(owner_of "$pid" "$kind")]" "the owner of the $kind namespace"
  done
  # The pod is a machine and has addresses as any other.
  [[ -n $(machine_of "$pod_id") ]]
  inside "$id" sh -c 'ip address show eth0 | grep -q "inet "'
  crictl rmp -f "$pod_id"
  refused . ls "/run/netns/cri-nspawn-$(machine_of "$pod_id")"
}

# The number of the user namespace that owns namespace $2 of process $1.
owner_of() {
  python3 -c '
import fcntl, os, sys
space = os.open(f"/proc/{sys.argv[1]}/ns/{sys.argv[2]}", os.O_RDONLY)
print(os.fstat(fcntl.ioctl(space, 0xb701)).st_ino)' "$@"
}

test_files_of_the_image_belong_to_the_same_users_inside() {
  need_user_namespaces
  local pod_id id upper
  pod_id=$(pod mapped "$in_users")
  id=$(started mapped "$pod_id" main "$in_users")
  equals '0:0' "$(inside "$id" stat -c %u:%g /bin/busybox)"
  equals '1000:1000' "$(inside "$id" stat -c %u:%g /home/app)"
  equals '0:0' "$(inside "$id" stat -c %u:%g /)"
  inside "$id" sh -c 'echo x >/etc/motd; echo y >/home/app/file; chown 1000:50 /home/app/file; mkdir /new'
  equals '1000:50' "$(inside "$id" stat -c %u:%g /home/app/file)"
  upper=$(crictl inspect "$id" | jq -r .info.writableLayer)
  equals '200000:200000' "$(stat -c %u:%g "$upper/new")" 'the owner on the node'
  equals '201000:200050' "$(stat -c %u:%g "$upper/home/app/file")" 'the owner on the node'
  equals '0:0 0:0 0:0 0:0 0:0 0:0' \
    "$(inside "$id" stat -c %u:%g /dev /dev/pts /dev/null /dev/shm /etc/hosts /etc/resolv.conf | xargs)"
  equals pong "$(inside "$id" sh -c 'echo pong >/dev/shm/file; cat /dev/shm/file')"
  inside "$id" sh -c 'echo gone >/dev/null; ls /proc/1/ns /sys/class/net /dev/mqueue /sys/fs/cgroup >/dev/null'
}

test_a_container_in_a_user_namespace_has_a_terminal() {
  need_user_namespaces
  local pod_id id user log=$scratch/logs/mapped/shell.log
  for user in 0 1234; do
    pod_id=$(pod mapped "$in_users")
    id=$(started mapped "$pod_id" shell "$in_users | "'.tty = true | .stdin = true |
      .linux.security_context.run_as_user = {value: ($ARGS.positional[0] | tonumber)} | .command = ["sh", "-c",
      "tty; stat -c %u /dev/pts/0 /dev/console; echo tty >/dev/tty; echo console >/dev/console; echo err >&2; exec sh"]' "$user")
    eventually 10 grep -q 'stdout F err$' "$log"
    equals "/dev/pts/0 $user $user tty console err" "$(lines_of "$log" | head -n 6 | xargs)" "the terminal of user $user"
    equals 34816 "$(inside "$id" cut -d' ' -f7 /proc/1/stat)" 'its controlling terminal'
    # The daemon keeps it over its own end, and clients can use it.
    [[ $user == 0 ]] || kill_daemon
    # shellcheck disable=SC2094  # crictl wants a terminal of its own for this
    (sleep 1; echo 'echo $((40 + 2)) $(id -u)'; sleep 1; echo 'exit 7') |
      timeout 20 script -qec "crictl attach -it $id" /dev/null >"$scratch/attached" || true
    ended "$id"
    contains "$(cat "$scratch/attached")" "^42 $user"
    equals 7 "$(status "$id" .exitCode)"
    crictl rmp -f "$pod_id"
    rm "$log"
  done
}

test_exec_in_a_user_namespace_has_a_terminal() {
  need_user_namespaces
  local id user
  for user in 0 1234; do
    id=$(started "mapped$user" "$(pod "mapped$user" "$in_users")" main "$in_users | "'
      .linux.security_context.run_as_user = {value: ($ARGS.positional[0] | tonumber)}' "$user")
    equals "33 101 $user $user /dev/pts/0"$'\n'"44 122 $user $user /dev/pts/0" \
      "$(in_terminal 101 33 122 44 crictl exec -it "$id" sh -c '
        for size in "33 101" "44 122"; do
          until [ "$(stty size 2>/dev/null)" = "$size" ]; do sleep 0.1; done
          echo "$size $(id -u) $(stat -c %u $(tty)) $(tty)"
        done; echo >/dev/tty' | tr -d '\r' | grep .)"
  done
}

test_users_inside_are_users() {
  need_user_namespaces
  local pod_id id
  pod_id=$(pod mapped "$in_users")
  id=$(started mapped "$pod_id" main "$in_users | "'.command = ["sh", "-c", "id -u; id -G; exec sleep 1000"] |
    .linux.security_context += {run_as_user: {value: 1000}, supplemental_groups: [4000]}')
  equals '1000 1000 50 4000' "$(status "$id" .user.linux | jq -r '[.uid, .gid, .supplementalGroups[1:][]] | join(" ")')"
  eventually 5 grep -q 'stdout F 1000$' "$scratch/logs/mapped/main.log"
  equals 1000 "$(inside "$id" id -u)"
  id=$(created mapped "$pod_id" unmapped "$in_users | .linux.security_context.run_as_user = {value: 70000}")
  refused 'user 70000 lies outside of what the pod.s user namespace maps' crictl start "$id"
}

test_volumes_are_mapped_as_asked() {
  need_user_namespaces
  local pod_id id directory=/var/lib/volume-test
  mkdir -p "$directory"
  chown 1000:1000 "$directory"
  pod_id=$(pod mapped "$in_users")
  id=$(started mapped "$pod_id" main "$in_users | "'(.linux.security_context.namespace_options.userns_options) as $users |
    .mounts = [{container_path: "/mapped", host_path: $ARGS.positional[0], uidMappings: $users.uids, gidMappings: $users.gids},
               {container_path: "/plain", host_path: $ARGS.positional[0]}]' "$directory")
  equals 1000:1000 "$(inside "$id" stat -c %u:%g /mapped)"
  equals 65534:65534 "$(inside "$id" stat -c %u:%g /plain)"
  inside "$id" sh -c 'echo x >/mapped/file; chown 7:8 /mapped/file'
  equals 7:8 "$(stat -c %u:%g "$directory/file")" 'the owner on the node'
  refused . inside "$id" touch /plain/file
  rm -r "$directory"
}

test_mounts_of_a_pod_without_user_namespace_can_be_mapped() {
  need_user_namespaces
  local pod_id id directory=/var/lib/volume-test
  mkdir -p "$directory"
  pod_id=$(pod plain)
  id=$(started plain "$pod_id" main '
    .mounts = [{container_path: "/mapped", host_path: $ARGS.positional[0],
      uidMappings: [{container_id: 0, host_id: 5000, length: 10}], gidMappings: [{container_id: 0, host_id: 6000, length: 10}]}]' "$directory")
  equals 5000:6000 "$(inside "$id" stat -c %u:%g /mapped)"
  # cgroupfs cannot map ids on any kernel.
  id=$(created plain "$pod_id" other '
    .mounts = [{container_path: "/mapped", host_path: "/sys/fs/cgroup",
      uidMappings: [{container_id: 0, host_id: 5000, length: 10}], gidMappings: [{container_id: 0, host_id: 6000, length: 10}]}]')
  refused 'does not support id-mapped mounts' crictl start "$id"
  rm -r "$directory"
}

test_root_of_a_user_namespace_has_no_power_outside() {
  need_user_namespaces
  local pod_id id
  pod_id=$(pod mapped "$in_users | .linux.security_context.privileged = true")
  id=$(started mapped "$pod_id" main "$in_users | .linux.security_context.privileged = true")
  inside "$id" mount -t tmpfs none /tmp
  inside "$id" sh -c 'mkdir /x && mount --bind /bin /x && umount /x'
  inside "$id" hostname changed
  inside "$id" ip link add name d0 type dummy || true
  # What was mounted for it stays as it is.
  refused . inside "$id" umount /proc
  refused . inside "$id" sh -c 'echo 1 >/proc/sys/kernel/sysrq'
  refused . inside "$id" sh -c 'mknod /disk b 254 0 && head -c 1 /disk'
  refused . inside "$id" sh -c 'echo 1 >/sys/fs/cgroup/cgroup.procs'
}

test_containers_of_a_pod_share_its_user_namespace() {
  need_user_namespaces
  local pod_id first second
  pod_id=$(pod mapped "$in_users | .linux.security_context.namespace_options.pid = 0")
  first=$(started mapped "$pod_id" first "$in_users | .linux.security_context.namespace_options.pid = 0")
  second=$(started mapped "$pod_id" second "$in_users"' | .linux.security_context.namespace_options += {pid: 3, target_id: $ARGS.positional[0]}' "$first")
  equals "$(inside "$first" readlink /proc/self/ns/user)" "$(inside "$second" readlink /proc/self/ns/user)"
  contains "$(inside "$second" sh -c 'cat /proc/[0-9]*/comm')" pause
  inside "$second" sh -c 'kill -0 1'
  refused 'is not that of its pod' created mapped "$pod_id" third
}

test_user_namespaces_that_cannot_be_are_refused() {
  refused 'exactly one' pod two '.linux.security_context.namespace_options.userns_options = {mode: 0,
    uids: [{host_id: 1, container_id: 0, length: 9}, {host_id: 11, container_id: 10, length: 9}], gids: []}'
  refused 'begin' pod one '.linux.security_context.namespace_options.userns_options = {mode: 0,
    uids: [{host_id: 1000, container_id: 1, length: 9}], gids: [{host_id: 1000, container_id: 1, length: 9}]}'
  refused 'length 0' pod none '.linux.security_context.namespace_options.userns_options = {mode: 0,
    uids: [{host_id: 1000, container_id: 0, length: 0}], gids: [{host_id: 1000, container_id: 0, length: 0}]}'
  refused 'same range' pod other '.linux.security_context.namespace_options.userns_options = {mode: 0,
    uids: [{host_id: 1000, container_id: 0, length: 9}], gids: [{host_id: 2000, container_id: 0, length: 9}]}'
  refused 'mode CONTAINER' pod mode '.linux.security_context.namespace_options.userns_options.mode = 1'
  refused 'mode TARGET' pod mode '.linux.security_context.namespace_options.userns_options.mode = 3'
  refused 'network, PID or IPC' pod outside "$in_users | .linux.security_context.namespace_options.network = 2"
}

test_a_pod_with_a_user_namespace_outlives_the_daemon() {
  need_user_namespaces
  local pod_id id before
  before=$(traces)
  pod_id=$(pod mapped "$in_users")
  id=$(started mapped "$pod_id" main "$in_users")
  kill_daemon
  in_state "$id" RUNNING
  equals 0 "$(inside "$id" id -u)"
  id=$(started mapped "$pod_id" second "$in_users")
  equals '0 200000 65536' "$(inside "$id" cat /proc/self/uid_map | xargs)"
  crictl rmp -f "$pod_id"
  unchanged "$before"
}
