# Attacks that have broken container runtimes, one test for each class.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # containers' shells expand; $scratch is the runner's; called by name

# What a container must not be able to change: the daemon's programs.
programs() { sha256sum /usr/sbin/cri-nspawnd /usr/lib/cri-nspawn/*; }

# CVE-2019-5736: a container has the runtime run the runtime's own binary, and writes to it.
test_programs_of_the_runtime_cannot_be_overwritten_from_a_container() {
  local pod_id id before
  before=$(programs)
  pod_id=$(pod overwrite '.linux.security_context.namespace_options.pid = 0')
  # Holds every program that runs until it may be written, as root and in the pod's own processes, pause among them.
  id=$(started overwrite "$pod_id" attacker '.linux.security_context.namespace_options.pid = 0 | .command = ["sh", "-c",
    "while :; do for p in /proc/[0-9]*; do
       (exec 3<$p/exe && { echo seen $(readlink $p/exe); sleep 0.1; echo evil >/proc/self/fd/3 && echo BREACH $p; }) 2>/dev/null
     done; done"]')
  eventually 10 grep -q 'seen' "$scratch/logs/overwrite/attacker.log"
  for _ in 1 2 3 4 5; do
    crictl exec -s "$id" true
    crictl exec -s "$id" /proc/self/exe || true
  done
  id=$(created overwrite "$pod_id" itself '.command = ["/proc/self/exe"]')
  crictl start "$id" || true
  id=$(created overwrite "$pod_id" script '.command = ["sh", "-c", "echo evil >/proc/1/exe; echo evil >/init; sleep 1"]')
  crictl start "$id"
  sleep 1
  lacks "$(cat "$scratch/logs/overwrite/attacker.log")" BREACH
  equals "$before" "$(programs)" 'the programs'
}

# CVE-2024-21626: a descriptor of the host, or a working directory there, leaks into the container.
test_no_descriptor_of_the_host_reaches_a_container() {
  local pod_id id number
  pod_id=$(pod leaks)
  id=$(started leaks "$pod_id" main)
  equals '0 1 2' "$(inside "$id" sh -c 'ls /proc/1/fd' | xargs)" 'the descriptors of a program'
  # ls has one more, for the directory.
  equals '0 1 2 3' "$(inside "$id" ls /proc/self/fd | xargs)" 'the descriptors of a command'
  for number in 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    id=$(created leaks "$pod_id" "cwd$number" '.working_dir = "/proc/self/fd/'$number'" |
      .command = ["sh", "-c", "pwd; ls -d ../../../../../../etc/cri-nspawn ../../../../../../../run/cri-nspawn; sleep 100"]') ||
      continue
    refused . crictl start "$id"
  done
  lacks "$(cat "$scratch"/logs/leaks/cwd*.log 2>/dev/null)" 'cri-nspawn$'
}

# exchange PATH OTHER swaps two names as fast as it can, until it is ended. It takes the place of its shell, so that the one
# process is all that there is to end.
exchange() {
  exec python3 -c '
import ctypes, sys
libc = ctypes.CDLL(None)
a, b = (name.encode() for name in sys.argv[1:])
while True:
    libc.renameat2(-100, a, -100, b, 2)' "$1" "$2"
}

# CVE-2021-30465: a directory of a volume becomes a symbolic link while a volume is mounted below it.
test_links_exchanged_during_a_mount_do_not_lead_out() {
  local pod_id id round attacker mounts
  mkdir -p "$scratch/shared/dir" "$scratch/inner" "$scratch/outside"
  ln -s "../../../../../../../../../../../..$scratch/outside" "$scratch/shared/link"
  echo secret >"$scratch/inner/file"
  pod_id=$(pod exchange)
  mounts=$(findmnt -rno TARGET | wc -l)
  exchange "$scratch/shared/dir" "$scratch/shared/link" &
  attacker=$!
  # shellcheck disable=SC2064  # the process of now is meant
  trap "kill $attacker" EXIT
  for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    id=$(created exchange "$pod_id" "c$round" '.mounts = [
      {container_path: "/shared", host_path: ($ARGS.positional[0] + "/shared")},
      {container_path: "/shared/dir", host_path: ($ARGS.positional[0] + "/inner")},
      {container_path: "/shared/dir/made", host_path: ($ARGS.positional[0] + "/inner")}]' "$scratch")
    crictl start "$id" || true
  done
  equals '' "$(ls "$scratch/outside")" 'what the attack has made on the node'
  equals "$mounts" "$(findmnt -rno TARGET | wc -l)" 'the number of mounts on the node'
}

# CVE-2025-31133, CVE-2025-52565: the image's /dev/null or /dev/console is a link to what is mounted over or bound then.
test_links_in_place_of_devices_do_not_lead_masks_astray() {
  local pod_id id pattern
  pattern=$(cat /proc/sys/kernel/core_pattern)
  mkdir -p "$scratch/image/dev"
  ln -s /proc/sys/kernel/core_pattern "$scratch/image/dev/null"
  ln -s /proc/sys/kernel/core_pattern "$scratch/image/dev/console"
  ln -s /proc/sysrq-trigger "$scratch/image/dev/tty"
  image_with devices:1 "$scratch/image"
  pod_id=$(pod masks)
  id=$(started masks "$pod_id" main '.image.image = $ARGS.positional[0] | .tty = true |
    .linux.security_context += {masked_paths: ["/proc/cpuinfo", "/proc/sysrq-trigger", "/proc/keys"],
      readonly_paths: ["/proc/sys"]}' "$registry/devices:1")
  equals 'character special file 1 3' "$(inside "$id" stat -c '%F %t %T' /dev/null)"
  equals 'character special file' "$(inside "$id" stat -c %F /dev/console)"
  equals 'character special file 1 3' "$(inside "$id" stat -c '%F %t %T' /proc/cpuinfo)"
  refused 'Read-only' inside "$id" sh -c 'echo evil >/proc/sys/kernel/core_pattern'
  equals 0 "$(inside "$id" sh -c 'echo evil >/proc/cpuinfo; wc -c </proc/cpuinfo')" 'what is read of a masked file'
  equals "$pattern" "$(cat /proc/sys/kernel/core_pattern)"
}

# CVE-2019-16884, CVE-2025-52881: a volume over /proc turns the runtime's own writes there to another file.
test_proc_is_the_kernels_whatever_the_image_or_the_pod_says() {
  local pod_id id path
  mkdir -p "$scratch/fake/self/attr" "$scratch/fake/sys" "$scratch/image"
  echo untouched >"$scratch/fake/self/attr/exec"
  image_with procs:1 "$scratch/image" '.config.Volumes = {"/proc": {}, "/proc/self/attr": {}}'
  pod_id=$(pod procs)
  id=$(created procs "$pod_id" volumes '.image.image = $ARGS.positional[0]' "$registry/procs:1")
  if crictl start "$id"; then equals proc "$(inside "$id" stat -f -c %T /proc)" 'what is at /proc'; fi
  for path in /proc /proc/self /proc/self/attr /sys; do
    id=$(created procs "$pod_id" "over${path//\//-}" '.mounts = [{container_path: $ARGS.positional[0],
      host_path: $ARGS.positional[1]}]' "$path" "$scratch/fake") || continue
    crictl start "$id" || continue
    # A pod may hide /proc from its own programs; what was set up before is right all the same.
    equals '00000000a80425fb' "$(sed -n 's/^CapBnd:\t//p' "/proc/$(crictl inspect "$id" | jq .info.pid)/status")"
  done
  equals untouched "$(cat "$scratch/fake/self/attr/exec")"
}

# CVE-2020-15257: a supervisor listens on an abstract socket, which every pod in the node's network can reach.
test_a_pod_in_the_nodes_network_finds_no_socket_of_a_supervisor() {
  local before pod_id id
  # Without those that a client of the bus or the kernel has named.
  abstract() { awk '$8 ~ /^@/ && $8 !~ /^@[0-9a-f]+(\/|$)/ {print $8}' | sort -u; }
  before=$(abstract </proc/net/unix)
  started before "$(pod before)" main >/dev/null
  pod_id=$(pod outside '.linux.security_context.namespace_options.network = 2')
  id=$(started outside "$pod_id" main '.linux.security_context.namespace_options.network = 2')
  equals "$before" "$(abstract </proc/net/unix)" 'the abstract sockets'
  equals "$before" "$(inside "$id" cat /proc/net/unix | abstract)" 'the abstract sockets that the pod sees'
  # Those with a path are out of its sight.
  refused . inside "$id" ls /run/systemd/private /run/dbus/system_bus_socket /run/cri-nspawn/cri-nspawn.sock
}

# CVE-2022-0811: a value of a sysctl that sets another one.
test_a_sysctl_sets_nothing_but_itself() {
  local pattern value
  pattern=$(cat /proc/sys/kernel/core_pattern)
  for value in '1+kernel.core_pattern=|/evil #' '1\nkernel.core_pattern=|/evil' '1 kernel.core_pattern=|/evil'; do
    refused . pod injected ".linux.sysctls = {\"kernel.shm_rmid_forced\": \"$value\"}"
  done
  equals "$pattern" "$(cat /proc/sys/kernel/core_pattern)"
  equals '' "$(crictl pods -q --name injected)"
}

# CVE-2022-23648: the image names a volume outside of itself, whose content is copied into the container.
test_volumes_of_an_image_do_not_lead_out_of_it() {
  local pod_id id
  mkdir -p "$scratch/image" "$scratch/secret"
  echo secret >"$scratch/secret/file"
  ln -s "../../../../../../../../../../..$scratch/secret" "$scratch/image/link"
  image_with volumes:1 "$scratch/image" \
    ".config.Volumes = {\"/../../../../../../../../../..$scratch/secret\": {}, \"/link\": {}, \"/etc/../..\": {}}"
  pod_id=$(pod volumes)
  id=$(created volumes "$pod_id" main '.image.image = $ARGS.positional[0]' "$registry/volumes:1") || return 0
  crictl start "$id" || return 0
  refused . inside "$id" cat "$scratch/secret/file"
  refused . inside "$id" cat /link/file
}

# CVE-2022-2995: a process leaves a group that takes rights away from it.
test_the_primary_group_stays_among_the_groups() {
  local pod_id id
  mkdir -p "$scratch/volume"
  echo 'not for the group' >"$scratch/volume/file"
  chown 0:4712 "$scratch/volume/file"
  chmod 604 "$scratch/volume/file"
  pod_id=$(pod groups)
  id=$(started groups "$pod_id" main '.mounts = [{container_path: "/v", host_path: $ARGS.positional[0]}] |
    .linux.security_context += {run_as_user: {value: 4711}, run_as_group: {value: 4712}}' "$scratch/volume")
  equals 4712 "$(inside "$id" sed -n 's/^Groups:[[:space:]]*//p' /proc/self/status | xargs)"
  refused 'denied' inside "$id" cat /v/file
  refused . inside "$id" sh -c 'newgrp nogroup -c "cat /v/file" || sg nogroup "cat /v/file"'
}

# A pod that has its own log directory as a volume.
test_logs_are_not_written_through_links_or_out_of_their_directory() {
  local pod_id id path
  pod_id=$(pod logs)
  echo secret >"$scratch/secret"
  for path in ../../secret.log a/../../../secret.log; do
    refused 'leads out of' created logs "$pod_id" main '.log_path = $ARGS.positional[0]' "$path"
  done
  ln -s "$scratch/secret" "$scratch/logs/logs/main.log"
  id=$(created logs "$pod_id" main '.command = ["echo", "evil"]')
  refused 'symbolic link' crictl start "$id"
  equals secret "$(cat "$scratch/secret")"
  mkfifo "$scratch/logs/logs/pipe.log"
  id=$(created logs "$pod_id" pipe '.command = ["echo", "evil"]')
  refused . timeout 20 crictl start "$id"
  # Exchanged while the container runs: what is opened anew is no link either.
  id=$(started logs "$pod_id" later '.command = ["sh", "-c", "while :; do echo evil; sleep 0.01; done"]')
  eventually 5 grep -q evil "$scratch/logs/logs/later.log"
  mv "$scratch/logs/logs/later.log" "$scratch/logs/logs/later.log.1"
  ln -s "$scratch/secret" "$scratch/logs/logs/later.log"
  refused 'symbolic link' crictl logs --reopen "$id"
  kill_daemon
  equals secret "$(cat "$scratch/secret")"
}

# A line of its own, or what systemd expands, in any text that gets into a unit.
test_no_text_of_a_pod_becomes_a_setting_of_its_unit() {
  local pod_id id evil unit file
  file=$scratch/pwned
  evil=$(printf 'x\nExecStartPre=/bin/touch %s\n[Service]\nExecStartPost=+/bin/touch %s\n%%n ${HOME} $HOME "\x27\\\n' \
    "$file" "$file")
  export EVIL=$evil
  # What plugins of networks would misread is refused.
  refused 'misread' pod inject '.metadata.name = $ENV.EVIL'
  pod_id=$(pod inject '.labels = {a: $ENV.EVIL} | .annotations = {"a/b": $ENV.EVIL} |
    .metadata.name = ($ENV.EVIL | gsub("="; "")) | .metadata.namespace = "tests"')
  id=$(started inject "$pod_id" main '.labels = {a: $ENV.EVIL} | .annotations = {($ENV.EVIL): $ENV.EVIL} |
    .metadata.name = $ENV.EVIL | .log_path = "main.log" | .envs = [{key: "EVIL", value: $ENV.EVIL}] |
    .command = ["sh", "-c", "printf %s \"$EVIL\"; echo; printf %s \"$1\"; sleep 1000", "sh", $ENV.EVIL]')
  [[ ! -e $file ]] || fail 'a setting got into a unit'
  eventually 10 grep -q 'HOME' "$scratch/logs/inject/main.log"
  equals "$evil" "$(inside "$id" sh -c 'printf %s "$EVIL"')" 'the variable'
  for unit in "$(service_of "$id")" "$(machine_of "$pod_id")"; do
    equals '' "$(systemctl show -P ExecStartPre "$unit.service")"
    equals '' "$(systemctl show -P ExecStartPost "$unit.service")"
    [[ $unit =~ ^[a-z0-9-]+$ ]] || fail "the unit is called '$unit'"
  done
  equals "$evil" "$(crictl inspect "$id" | jq -r .status.labels.a)"
  crictl stop --timeout 0 "$id"
  [[ ! -e $file ]] || fail 'a setting got into a unit'
}

# Names that are somebody else's, or each other's.
test_names_of_units_and_machines_neither_collide_nor_escape() {
  local first second name
  first=$(pod one '.metadata += {namespace: "a", name: "b-c"}')
  second=$(pod two '.metadata += {namespace: "a-b", name: "c"}')
  [[ $(machine_of "$first") != "$(machine_of "$second")" ]] || fail 'two pods are one machine'
  equals 2 "$(crictl pods -q --state ready | wc -l)"
  for name in ../../etc dbus.service init.scope -.slice .host 'a@b' '..' "$(printf 'a%.0s' {1..300})"; do
    first=$(pod odd '.metadata += {namespace: $ENV.NAME, name: $ENV.NAME}' 2>&1) || continue
    [[ $(machine_of "$first") =~ ^[a-z0-9][a-z0-9-]*$ ]] || fail "'$name' is the machine '$(machine_of "$first")'"
    crictl rmp -f "$first"
  done
  equals active "$(systemctl is-active dbus.service)"
}

# What a client or an image says ends up on a terminal.
test_no_escape_sequence_is_printed() {
  local pod_id id started escape=$'\e]0;evil\a\e[31m'
  started=$(date '+%Y-%m-%d %H:%M:%S')
  clean() { if grep -q $'[\e\a]' <<<"$1"; then fail "an escape sequence in: $(cat -v <<<"$1")"; fi; }
  clean "$(cri-nspawn-image pull "127.0.0.1:5000/$escape" 2>&1 || true)"
  clean "$(cri-nspawn-image inspect "$escape" 2>&1 || true)"
  clean "$(cri-nspawn-image list 2>&1)"
  pod_id=$(E=$escape pod escapes '.labels = {a: $ENV.E}')
  id=$(E=$escape created escapes "$pod_id" main '.command = ["/no/" + $ENV.E]')
  crictl start "$id" 2>/dev/null && fail 'it started'
  clean "$(crictl inspect "$id" | jq -r '.status.message')"
  clean "$(journalctl --no-pager -o cat --since "$started" -u cri-nspawn.service)"
  clean "$(systemctl status "$(service_of "$id").service" 2>&1 || true)"
}

# The bus is open to every user of the node.
test_users_of_the_node_cannot_touch_pods_over_the_bus() {
  local pod_id id machine service
  pod_id=$(pod bus)
  id=$(started bus "$pod_id" main)
  machine=$(machine_of "$pod_id") service=$(service_of "$id")
  as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"; }
  refused . as_nobody busctl call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager \
    TerminateMachine s "$machine"
  refused . as_nobody busctl call org.freedesktop.portable1 /org/freedesktop/portable1 org.freedesktop.portable1.Manager \
    DetachImage sb "/run/cri-nspawn/containers/$service" true
  refused . as_nobody busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager \
    StopUnit ss "$service.service" replace
  refused . as_nobody busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager \
    SetUnitProperties 'sba(sv)' "$service.service" true 1 CPUWeight t 1
  refused . as_nobody busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager \
    KillUnit ssi "$machine.service" all 9
  equals CONTAINER_RUNNING "$(status "$id" .state)"
  equals "$pod_id" "$(crictl pods -q --no-trunc --state ready)"
}

# The socket is as good as root.
test_the_socket_and_the_state_are_out_of_other_users_reach() {
  local id path
  id=$(started closed "$(pod closed)" main)
  as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"; }
  refused 'denied|[Ff]ailed|error' as_nobody crictl --timeout 5s version
  for path in "/run/cri-nspawn/containers/$(service_of "$id")" /var/lib/cri-nspawn/containers /var/lib/cri-nspawn/sandboxes \
    /run/cri-nspawn/sandboxes /var/lib/cri-nspawn/cni; do
    refused . as_nobody ls "$path"
  done
}

# A token of the streaming server stands for the right to run a command.
test_a_streaming_token_serves_once_and_cannot_be_guessed() {
  local id url other
  id=$(started tokens "$(pod tokens)" main)
  url_of() { crictl --debug exec "$id" true 2>&1 | sed -n 's|.*Exec URL: \(http[^" ]*\).*|\1|p'; }
  url=$(url_of) other=$(url_of)
  contains "$url" '/exec/[0-9a-f]{64}$'
  [[ $url != "$other" ]] || fail 'two calls have one token'
  upgrade() {
    curl -sS -o /dev/null -w '%{http_code}' -m 5 -X POST -H 'Connection: Upgrade' -H 'Upgrade: SPDY/3.1' \
      -H 'X-Stream-Protocol-Version: v4.channel.k8s.io' "$1"
  }
  equals 404 "$(upgrade "$url")" 'a token that has been used'
  equals 404 "$(upgrade "${url%?}")" 'a token that is a digit short'
  # One for a command is none for a port.
  equals 404 "$(upgrade "${url/exec/portforward}")"
}
