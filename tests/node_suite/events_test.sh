# What happens to a node besides the daemon: an operator's commands, full disks, too few descriptors, too little memory, another time
# of day.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # containers' shells expand; $scratch is the runner's; called by name

# started_anew POD-NAME POD-ID does what a kubelet does with a pod that is not ready: stops and removes it, and runs it again.
started_anew() {
  local pod_id
  crictl stopp "$2"
  crictl rmp -f "$2"
  pod_id=$(pod "$1" '.metadata.attempt = 1')
  inside "$(started "$1" "$pod_id" main)" true
}

pod_state() { crictl inspectp "$1" | jq -r .status.state; }

test_a_pod_whose_machine_an_operator_ends_is_not_ready_and_can_be_run_again() {
  local before how pod_id
  before=$(traces)
  for how in 'machinectl terminate' 'machinectl poweroff' 'systemctl stop' 'systemctl kill -s KILL'; do
    echo "-- $how"
    pod_id=$(pod ended)
    started ended "$pod_id" main >"$scratch/id"
    if [[ $how == systemctl* ]]; then
      $how "$(machine_of "$pod_id").service"
    else
      $how "$(machine_of "$pod_id")"
    fi
    eventually 20 eval "[[ \$(pod_state $pod_id) == SANDBOX_NOTREADY ]]"
    equals '' "$(machine_of "$pod_id")" 'the machine'
    started_anew ended "$pod_id"
    remove_all_pods
    unchanged "$before"
  done
}

# ends HOW EXIT-CODE: what an operator does to the unit of a container ends the container for good.
ends() {
  local id pod_id
  pod_id=$(pod operated)
  id=$(started operated "$pod_id" main '.command = ["sh", "-c", "trap \"exit 7\" TERM; echo up; while true; do sleep 0.05; done"]')
  eventually 10 grep -q 'F up' "$scratch/logs/operated/main.log"
  $1 "$(service_of "$id").service" || true
  ended "$id"
  equals "$2" "$(status "$id" .exitCode)" 'the exit code'
  equals SANDBOX_READY "$(pod_state "$pod_id")"
  # It stays so, also for a daemon that comes later.
  kill_daemon
  equals CONTAINER_EXITED "$(status "$id" .state)"
  equals "$2" "$(status "$id" .exitCode)" 'the exit code later'
  # A kubelet goes on with the next attempt.
  inside "$(started operated "$pod_id" main '.metadata.attempt = 1 | .log_path = "main1.log"')" true
  crictl rm "$id"
}

test_a_container_that_an_operator_stops_has_ended() {
  local before
  before=$(traces)
  ends 'systemctl stop' 7
  remove_all_pods
  unchanged "$before"
}

test_a_container_that_an_operator_kills_has_ended() {
  local before
  before=$(traces)
  ends 'systemctl kill -s KILL' 137
  remove_all_pods
  unchanged "$before"
}

test_a_container_that_an_operator_restarts_has_ended() {
  local before
  before=$(traces)
  ends 'systemctl restart' 7
  remove_all_pods
  unchanged "$before"
}

# on_small_disk DIRECTORY LIMITS COMMAND…: with a file system of its own in the place of a directory of the daemon; the limits
# are tmpfs(5)'s.
on_small_disk() {
  local directory=$1 limits=$2 status=0
  shift 2
  systemctl stop cri-nspawn.service
  mkdir -p "$directory"
  mount -t tmpfs -o "$limits,mode=755" small "$directory"
  systemctl start cri-nspawn.service
  eventually 20 daemon_answers
  "$@" || status=$?
  remove_all_pods || status=1
  systemctl stop cri-nspawn.service
  umount "$directory"
  systemctl start cri-nspawn.service
  eventually 20 daemon_answers
  return "$status"
}

fill() { ! dd if=/dev/zero of="$1/filling" bs=4k 2>/dev/null; }
fill_inodes() {
  local number=0
  while { : >"$1/filling.$number"; } 2>/dev/null; do number=$((number + 1)); done
}

# records_full FILL: pods while FILL has taken what there is for records.
records_full() {
  local before pod_id id
  before=$(traces)
  pod_id=$(pod full)
  id=$(started full "$pod_id" main)
  "$1" /var/lib/cri-nspawn/sandboxes
  refused 'No space left on device' pod more
  refused 'No space left on device' created full "$pod_id" more
  # Nothing of it is left, and what runs goes on.
  equals "$pod_id" "$(crictl pods -q --no-trunc)"
  equals "$id" "$(crictl ps -a -q --no-trunc)"
  inside "$id" true
  crictl stop --timeout 0 "$id"
  equals 137 "$(status "$id" .exitCode)"
  crictl rm "$id"
  crictl stopp "$pod_id"
  crictl rmp "$pod_id"
  unchanged "$before"
  rm /var/lib/cri-nspawn/sandboxes/filling*
  inside "$(started again "$(pod again)" main)" true
}

test_a_full_disk_for_records_refuses_pods_and_lets_go_of_them() {
  on_small_disk /var/lib/cri-nspawn/sandboxes size=4M records_full fill
}

test_inodes_that_run_out_for_records_refuse_pods_and_let_go_of_them() {
  on_small_disk /var/lib/cri-nspawn/sandboxes size=4M,nr_inodes=60 records_full fill_inodes
}

test_a_full_disk_for_logs_stops_no_container() {
  local pod_id id
  mkdir -p "$scratch/logs/full"
  mount -t tmpfs -o size=1M logs "$scratch/logs/full"
  logs_full() {
    pod_id=$(pod full)
    id=$(started full "$pod_id" main '.command = ["sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); echo line $i of many; done; echo written >/tmp/written; sleep 1000"]')
    # A writer that nobody reads for would stand still.
    eventually 60 inside "$id" test -e /tmp/written
    equals CONTAINER_RUNNING "$(status "$id" .state)"
    contains "$(journalctl -q -u cri-nspawn.service --since "$started" -o cat)" 'No space left on device'
    # With room again, what comes is logged, in whole lines.
    : >"$scratch/logs/full/main.log"
    inside "$id" sh -c 'echo after >/proc/1/fd/1'
    eventually 10 grep -q 'stdout F after$' "$scratch/logs/full/main.log"
    crictl rmp -f "$pod_id"
  }
  logs_full || { umount -l "$scratch/logs/full"; return 1; }
  umount "$scratch/logs/full"
}

test_too_few_descriptors_refuse_calls_and_the_daemon_recovers() {
  local before drop_in=/run/systemd/system/cri-nspawn.service.d/descriptors.conf pod_id id
  before=$(traces)
  pod_id=$(pod few)
  id=$(started few "$pod_id" main '.command = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.02; done"]')
  mkdir -p "${drop_in%/*}"
  few() {
    # Those of the moment, and some.
    printf '[Service]\nLimitNOFILE=%d\n' "$(($(find "/proc/$(daemon_pid)/fd" -type l | wc -l) + 24))" >"$drop_in"
    systemctl daemon-reload
    systemctl restart cri-nspawn.service
    eventually 20 daemon_answers
    local refusals=0 output clients
    # Every client takes a descriptor as long as it is connected.
    python3 -c 'import socket, sys, time
clients = [socket.socket(socket.AF_UNIX) for _ in range(60)]
for client in clients:
    client.connect("/run/cri-nspawn/cri-nspawn.sock")
print(len(clients), flush=True)
time.sleep(1000)' >"$scratch/clients" &
    clients=$!
    eventually 20 grep -q . "$scratch/clients"
    for name in more others again; do
      if ! output=$(pod "$name" 2>&1); then
        refusals=$((refusals + 1))
        echo "$output"
      fi
    done
    kill "$clients"
    wait "$clients" || true
    ((refusals > 0)) || fail 'nothing was refused'
    eventually 20 daemon_answers
    inside "$id" true
    equals CONTAINER_RUNNING "$(status "$id" .state)"
  }
  few || { rm -f "$drop_in"; systemctl daemon-reload; systemctl restart cri-nspawn.service; return 1; }
  rm -f "$drop_in"
  systemctl daemon-reload
  systemctl restart cri-nspawn.service
  eventually 20 daemon_answers
  crictl stop --timeout 0 "$id"
  lines_of "$scratch/logs/few/main.log" | awk '$2 != NR {print "line " NR " is " $2; exit 1}'
  remove_all_pods
  unchanged "$before"
}

test_the_time_of_day_may_jump() {
  [[ $(systemd-detect-virt --container) == none ]] || skip 'a fast node has the clock of its machine'
  local pod_id id zero
  # The time of day at the boot, by the clock that does not jump.
  zero=$(awk -v now="$(date +%s)" '{printf "%d", now - $1}' /proc/uptime)
  pod_id=$(pod clock)
  id=$(started clock "$pod_id" main '.command = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.05; done"]')
  times_of() { crictl inspect "$1" | jq -r '.status | .createdAt, .startedAt, .finishedAt | .[0:19] + "Z" | fromdate'; }
  jumps() {
    local jump other now took created started finished number=0
    for jump in '+2 hours' '-5 hours' '+3 hours'; do
      echo "-- $jump"
      number=$((number + 1))
      date -s "$jump" >/dev/null
      now=$(date +%s)
      daemon_answers
      equals CONTAINER_RUNNING "$(status "$id" .state)"
      inside "$id" true
      # Deadlines are none of its business: a container that ignores its signal gets its two seconds.
      other=$(started clock "$pod_id" "other$number" '.command = ["sh", "-c", "trap \"\" TERM; while true; do sleep 0.1; done"]')
      took=$SECONDS
      crictl --timeout 60s stop --timeout 2 "$other"
      took=$((SECONDS - took))
      ((took >= 2 && took < 30)) || fail "stopping took $took seconds"
      { read -r created && read -r started && read -r finished; } < <(times_of "$other")
      ((created >= now && started >= created && finished >= started && finished <= $(date +%s))) ||
        fail "created $created, started $started, finished $finished, at $now"
      # Neither does an exec's deadline move with the clock.
      equals over "$(crictl exec -s --timeout 20 "$id" sh -c 'sleep 1; echo over')"
      # What a daemon finds that starts in another time of day is as it was.
      kill_daemon
      equals CONTAINER_RUNNING "$(status "$id" .state)"
      equals CONTAINER_EXITED "$(status "$other" .state)"
      equals "$created $started $finished" "$(times_of "$other" | xargs)"
    done
  }
  jumps || { date -s "@$(awk -v zero="$zero" '{printf "%d", zero + $1}' /proc/uptime)" >/dev/null; return 1; }
  crictl stop --timeout 0 "$id"
  lines_of "$scratch/logs/clock/main.log" | awk '$2 != NR {print "line " NR " is " $2; exit 1}'
}

test_a_daemon_that_meets_its_own_memory_limit_comes_back() {
  local drop_in=/run/systemd/system/cri-nspawn.service.d/memory.conf group=/sys/fs/cgroup/system.slice/cri-nspawn.service
  local before pod_id id pid
  [[ -e $group/memory.max ]] || skip 'this kernel has no memory controller for version 2 control groups'
  before=$(traces)
  pod_id=$(pod tight)
  id=$(started tight "$pod_id" main '.command = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.05; done"]')
  mkdir -p "${drop_in%/*}"
  tight() {
    # What it has now, and less than a large request takes on its way.
    printf '[Service]\nMemoryMax=%d\nMemorySwapMax=0\n' "$(($(awk '$1 == "anon" {print $2}' "$group/memory.stat") + (16 << 20)))" \
      >"$drop_in"
    systemctl daemon-reload
    systemctl restart cri-nspawn.service
    eventually 20 daemon_answers
    pid=$(daemon_pid)
    # No argument has room for it.
    head -c $((12 << 20)) /dev/zero | tr '\0' x >"$scratch/large"
    jq --rawfile large "$scratch/large" '.annotations = {large: $large}' "$scratch/tight-main.json" >"$scratch/large.json"
    if crictl create --no-pull "$pod_id" "$scratch/large.json" "$scratch/tight.json"; then fail 'there was room for all of it'; fi
    eventually 20 eval "[[ \$(daemon_pid) != $pid && \$(daemon_pid) != 0 ]] && daemon_answers"
    contains "$(journalctl -q -u cri-nspawn.service --since "$started" -o cat)" "result 'oom-kill'"
    equals CONTAINER_RUNNING "$(status "$id" .state)"
    equals "$id" "$(crictl ps -a -q --no-trunc)"
    inside "$id" true
  }
  tight || { rm -f "$drop_in"; systemctl daemon-reload; systemctl restart cri-nspawn.service; return 1; }
  rm -f "$drop_in"
  systemctl daemon-reload
  systemctl restart cri-nspawn.service
  eventually 20 daemon_answers
  crictl stop --timeout 0 "$id"
  lines_of "$scratch/logs/tight/main.log" | awk '$2 != NR {print "line " NR " is " $2; exit 1}'
  remove_all_pods
  unchanged "$before"
}
