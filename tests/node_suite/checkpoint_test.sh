# Checkpoints of containers, and containers that go on from them.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

# A program that counts, in its memory, in its output and in a file.
readonly counter='.command = ["sh", "-c", "i=0; while true; do i=$((i + 1)); echo count $i; echo $i >/counted; sleep 0.2; done"] |
  .linux.security_context.seccomp = {profile_type: 0}'

# needs_criu skips the test unless criu is there and can work on this kernel.
needs_criu() {
  command -v criu >/dev/null || skip 'criu is not installed on this node'
  local reason
  if ! reason=$(criu check 2>&1); then skip "criu does not work on this kernel: $(tail -n 1 <<<"$reason")"; fi
}

# checkpoint ID FILE; crictl gives up after two seconds unless told otherwise.
checkpoint() { crictl --timeout 120s checkpoint --export="$2" "$1"; }

# last_count LOG: the number that was written last, 0 before any.
last_count() { sed -n 's/.* count \([0-9]*\)$/\1/p' "$1" 2>/dev/null | tail -n 1 | grep . || echo 0; }
counts_beyond() { (($(last_count "$1") > $2)); }

# restored POD POD-ID NAME FILE [JQ-FILTER WORD…] creates a container from a checkpoint and starts it.
restored() {
  local pod_name=$1 pod_id=$2 name=$3 file=$4 filter=${5-.} id
  shift $(($# < 5 ? $# : 5))
  id=$(created "$pod_name" "$pod_id" "$name" "$filter | .image = {image: \"$file\"}" "$@") || return
  crictl --timeout 120s start "$id" >/dev/null || return
  printf '%s\n' "$id"
}

test_without_criu_a_checkpoint_is_unimplemented() {
  local pod_id id
  if command -v criu >/dev/null; then skip 'criu is installed on this node'; fi
  pod_id=$(pod counting)
  id=$(started counting "$pod_id" main)
  refused 'Unimplemented.*criu, which is not installed' checkpoint "$id" "$scratch/archive.tar"
  refused 'need criu, which is not installed' restored counting "$pod_id" second "$scratch/archive.tar"
}

test_a_container_goes_on_from_its_checkpoint() {
  local pod_id id other_id second before file=$scratch/archive.tar
  needs_criu
  pod_id=$(pod counting)
  id=$(started counting "$pod_id" main "$counter")
  eventually 20 counts_beyond "$scratch/logs/counting/main.log" 5
  crictl exec -s "$id" sh -c 'rm /etc/services && mkdir -p /made/here && echo kept >/made/here/file'
  checkpoint "$id" "$file"
  equals 600 "$(stat -c %a "$file")" 'the mode of the archive'
  contains "$(tar -tf "$file")" '^checkpoint/pstree.img$'
  equals cri-nspawn "$(tar -xOf "$file" config.dump | jq -r .runtime)"
  # The container itself goes on.
  in_state "$id" RUNNING
  before=$(last_count "$scratch/logs/counting/main.log")
  eventually 20 counts_beyond "$scratch/logs/counting/main.log" "$before"
  crictl stop -t 0 "$id" >/dev/null

  # Another one, in another pod, has its memory and its files.
  other_id=$(pod other)
  second=$(restored other "$other_id" second "$file")
  in_state "$second" RUNNING
  eventually 20 counts_beyond "$scratch/logs/other/second.log" "$before"
  contains "$(head -n 1 "$scratch/logs/other/second.log")" 'count [0-9]+$'
  lacks "$(cat "$scratch/logs/other/second.log")" 'count 1$'
  equals kept "$(crictl exec -s "$second" cat /made/here/file)"
  refused . crictl exec -s "$second" cat /etc/services
  contains "$(crictl exec -s "$second" cat /counted)" '^[0-9]+$'
  # In its own pod's namespaces, below the manager, confined as the first was.
  equals other "$(crictl exec -s "$second" hostname)"
  equals 1 "$(ps -o ppid= "$(crictl inspect "$second" | jq .info.pid)" | tr -d ' ')" 'its parent'
  equals 2 "$(crictl exec -s "$second" sed -n 's/^Seccomp:\t//p' /proc/1/status)" 'the seccomp mode'
  equals active "$(systemctl is-active "$(service_of "$second")")"
  # Nothing of its memory stays on disk.
  equals '' "$(find "/var/lib/cri-nspawn/containers/$second" -name '*.img')" 'what is left of the images'

  crictl stop -t 0 "$second" >/dev/null
  ended "$second"
  equals 137 "$(status "$second" .exitCode)"
}

test_a_restored_container_has_the_mounts_and_limits_of_the_first() {
  local pod_id id second options file=$scratch/archive.tar volume='.mounts = [
    {container_path: "/data", host_path: $ARGS.positional[0]},
    {container_path: "/slave", host_path: $ARGS.positional[0], propagation: 1, readonly: true}]'
  needs_criu
  mkdir "$scratch/volume"
  pod_id=$(pod counting)
  id=$(started counting "$pod_id" main "$counter | $volume" "$scratch/volume")
  eventually 20 counts_beyond "$scratch/logs/counting/main.log" 1
  checkpoint "$id" "$file"
  second=$(restored counting "$pod_id" second "$file" "$volume" "$scratch/volume")
  options='/^[0-9]/ {print $5, $6}'
  diff <(crictl exec -s "$id" awk "$options" /proc/1/mountinfo | sort) \
    <(crictl exec -s "$second" awk "$options" /proc/1/mountinfo | sort)
  diff <(crictl exec -s "$id" grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)' /proc/1/status) \
    <(crictl exec -s "$second" grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)' /proc/1/status)
  crictl exec -s "$second" touch /data/file
  [[ -e $scratch/volume/file ]]
  refused 'Read-only' crictl exec -s "$second" touch /slave/file
}

test_a_restored_container_ends_with_its_own_exit_code() {
  local pod_id id second file=$scratch/archive.tar
  needs_criu
  pod_id=$(pod ending)
  id=$(started ending "$pod_id" main '.command = ["sh", "-c", "while [ ! -e /end ]; do sleep 0.1; done; echo over; exit 7"]')
  checkpoint "$id" "$file"
  second=$(restored ending "$pod_id" second "$file")
  # It outlives the daemon as any other does.
  kill_daemon
  in_state "$second" RUNNING
  crictl exec -s "$second" touch /end
  ended "$second"
  equals 7 "$(status "$second" .exitCode)"
  contains "$(cat "$scratch/logs/ending/second.log")" ' stdout F over$'
  in_state "$id" RUNNING
}

test_what_cannot_be_checkpointed_or_restored_is_said() {
  local pod_id id file=$scratch/archive.tar
  needs_criu
  pod_id=$(pod refusing)
  id=$(started refusing "$pod_id" shared '.linux.security_context.namespace_options.pid = 0')
  refused 'PID namespace of its own' checkpoint "$id" "$file"
  id=$(created refusing "$pod_id" idle)
  refused 'is not running' checkpoint "$id" "$file"
  refused 'no directory' checkpoint "$id" /nowhere/archive.tar
  refused 'No such file' restored refusing "$pod_id" absent "$scratch/absent.tar"
  head -c 5000 /dev/zero | tr '\0' x >"$file"
  refused 'no valid tar archive' restored refusing "$pod_id" broken "$file"
  id=$(started refusing "$pod_id" main)
  checkpoint "$id" "$file"
  chmod 666 "$file"
  refused 'belong to root' restored refusing "$pod_id" open "$file"
  # Nothing of an attempt stays, and nothing of a dump.
  equals '' "$(find /var/lib/cri-nspawn/containers -name '*.img' -o -name config.dump)" 'what is left'
}
