# Containers with a terminal or an open standard input, and who is attached to them.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # containers' shells expand; $scratch is the runner's

# Names in the descriptor store of the daemon; systemd before version 254 tells their number only.
stored() { systemctl show -P NFileDescriptorStore cri-nspawn.service; }

descriptors() { find "/proc/$(daemon_pid)/fd" -mindepth 1 | wc -l; }

test_a_container_has_its_own_terminal_and_the_log_its_output() {
  local pod_id id log=$scratch/logs/tty/shell.log
  pod_id=$(pod tty)
  id=$(started tty "$pod_id" shell '.tty = true | .linux.security_context.run_as_user = {value: 1234} | .command = ["sh", "-c",
    "tty; echo $TERM; stat -c %u /dev/pts/0 /dev/console; [ -t 0 ] && [ -t 2 ] && echo streams; echo tty >/dev/tty; echo console >/dev/console; echo err >&2; exec sleep 1000"]')
  eventually 10 grep -q 'stdout F err$' "$log"
  equals '/dev/pts/0 xterm 1234 1234 streams tty console err' "$(lines_of "$log" | tr '\n' ' ' | sed 's/ $//')"
  # It is the controlling terminal of the program's session.
  equals 34816 "$(crictl exec -s "$id" cut -d' ' -f7 /proc/1/stat)"
  # Other containers have no console.
  refused 'No such file|cannot|exit status' crictl exec -s "$(started tty "$pod_id" plain)" ls /dev/console
}

test_a_terminal_outlives_the_daemon() {
  local pod_id id log=$scratch/logs/tty/shell.log
  pod_id=$(pod tty)
  id=$(started tty "$pod_id" shell '.tty = true | .stdin = true | .command = ["sh", "-c",
    "trap \"echo hung up\" HUP; i=0; while true; do i=$((i+1)); echo line $i; sleep 0.005; done"]')
  eventually 10 grep -q 'line 10$' "$log"
  kill_daemon
  kill_daemon
  systemctl restart cri-nspawn.service
  eventually 20 daemon_answers
  in_state "$id" RUNNING
  eventually 10 grep -q "line $(($(grep -c . "$log") + 50))\$" "$log"
  crictl stop --timeout 0 "$id"
  lacks "$(cat "$log")" 'hung up'
  sed -n 's/.* F line //p' "$log" | awk '$1 != NR {print "line " NR " is " $1; exit 1}'
}

test_an_input_does_not_end_before_a_client_came() {
  local pod_id id once
  pod_id=$(pod input)
  id=$(started input "$pod_id" cat '.stdin = true | .command = ["cat"]')
  once=$(started input "$pod_id" once '.stdin = true | .stdin_once = true | .command = ["cat"]')
  sleep 0.5
  kill_daemon
  sleep 0.5
  in_state "$id" RUNNING
  in_state "$once" RUNNING
  # And without an input there is none.
  id=$(started input "$pod_id" none '.command = ["cat"]')
  ended "$id"
  equals 0 "$(status "$id" .exitCode)"
}

test_terminals_and_inputs_leave_nothing_behind() {
  local pod_id before most id round
  pod_id=$(pod many)
  before=$(stored) most=$(($(descriptors) + 2))
  for round in 1 2 3; do
    id=$(started many "$pod_id" "t$round" '.tty = true | .command = ["echo", "x"]')
    ended "$id"
    crictl rm "$id"
    id=$(started many "$pod_id" "i$round" '.stdin = true | .command = ["cat"]')
    crictl stop --timeout 0 "$id"
    crictl rm "$id"
    id=$(created many "$pod_id" "e$round" '.tty = true | .command = ["nope"]')
    refused 'executable file not found' crictl start "$id"
    crictl rm "$id"
  done
  eventually 10 equals "$before" "$(stored)" 'the number of stored descriptors'
  eventually 10 eval "((\$(descriptors) <= $most))"
}

test_a_start_with_a_terminal_that_is_cut_off_by_a_kill_can_be_repeated() {
  local pod_id id round
  pod_id=$(pod cut)
  for round in 1 2 3 4 5 6; do
    id=$(created cut "$pod_id" "t$round" '.tty = true | .command = ["sh", "-c", "echo started; sleep 1000"]')
    crictl start "$id" >/dev/null 2>&1 &
    sleep "0.0$((round - 1))"
    kill_daemon
    wait
    in_state "$id" RUNNING || crictl start "$id"
    in_state "$id" RUNNING
    eventually 10 grep -q 'F started$' "$scratch/logs/cut/t$round.log"
  done
}

# What the clients of the streaming server get.

test_attached_clients_share_a_containers_streams() {
  local pod_id id
  pod_id=$(pod attach)
  id=$(started attach "$pod_id" cat '.stdin = true | .command = ["sh", "-c", "while read a; do echo got $a; echo err $a >&2; done"]')
  timeout -s KILL 60 crictl attach "$id" >"$scratch/watcher" 2>"$scratch/watcher.err" </dev/null &
  local watcher=$!
  sleep 1
  # Without stdin_once a client goes on to get output when it has nothing more to say.
  (echo one; sleep 1) | timeout -s KILL 3 crictl attach -i "$id" >"$scratch/first" 2>/dev/null || true
  (echo two; sleep 1) | timeout -s KILL 3 crictl attach -i "$id" >"$scratch/second" 2>/dev/null || true
  in_state "$id" RUNNING
  equals 'got one' "$(<"$scratch/first")"
  equals 'got two' "$(<"$scratch/second")"
  crictl stop --timeout 0 "$id"
  # It ends with the container.
  wait "$watcher"
  equals 'got one got two' "$(tr '\n' ' ' <"$scratch/watcher" | sed 's/ $//')"
  equals 'err one err two' "$(tr '\n' ' ' <"$scratch/watcher.err" | sed 's/ $//')"
}

test_with_stdin_once_the_programs_input_ends_with_the_first_client() {
  local pod_id id
  pod_id=$(pod once)
  id=$(started once "$pod_id" sum '.stdin = true | .stdin_once = true | .command = ["sh", "-c", "sha256sum; exit 5"]')
  head -c 20000000 /dev/urandom >"$scratch/data"
  timeout -s KILL 60 crictl attach -i "$id" <"$scratch/data" >"$scratch/sum" || true
  ended "$id"
  equals 5 "$(status "$id" .exitCode)"
  equals "$(sha256sum <"$scratch/data")" "$(lines_of "$scratch/logs/once/sum.log")"
}

test_a_terminal_can_be_attached_to_after_a_kill_of_the_daemon() {
  local pod_id id
  pod_id=$(pod tty)
  id=$(started tty "$pod_id" shell '.tty = true | .stdin = true | .command = ["sh"]')
  kill_daemon
  # crictl wants a terminal of its own for this.
  (sleep 1; echo 'echo $((40 + 2)) $(tty)'; sleep 1; echo 'exit 7') |
    timeout -s KILL 30 script -qec "crictl attach -it $id" /dev/null >"$scratch/out" || true
  contains "$(<"$scratch/out")" '^42 /dev/pts/0'
  ended "$id"
  equals 7 "$(status "$id" .exitCode)"
}
