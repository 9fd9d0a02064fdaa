# The daemon may go away at any time, and so may what it talks to.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # containers' shells expand; $scratch is the runner's

# survives HOW: containers run on while the daemon is restarted by HOW, and all is known again.
survives() {
  local pod_id counting ending log before
  pod_id=$(pod kept)
  counting=$(started kept "$pod_id" counting \
    '.command = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.005; done"]')
  ending=$(started kept "$pod_id" ending \
    '.command = ["sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.02; done; echo last words; exit 33"]')
  log=$scratch/logs/kept/counting.log
  eventually 5 grep -q 'line 10$' "$log"
  before=$(status "$counting" .startedAt)

  "$@" "$ending"

  equals "$pod_id" "$(crictl pods -q --no-trunc --state ready)"
  equals CONTAINER_RUNNING "$(status "$counting" .state)"
  equals "$before" "$(status "$counting" .startedAt)" 'the time of start'
  ended "$ending"
  equals 33 "$(status "$ending" .exitCode)"
  equals 'last words' "$(lines_of "$scratch/logs/kept/ending.log")"
  contains "$(crictl exec -s "$counting" echo alive)" alive
  # What it writes to the daemon of now is logged as well.
  eventually 10 grep -q "line $(($(grep -c . "$log") + 50))\$" "$log"
  crictl stop --timeout 0 "$counting"
  sed -n 's/.* F line //p' "$log" | awk '$1 != NR {print "line " NR " is " $1; exit 1}'
}

end_within() { nsenter -t "$(systemctl show -P MainPID "$(service_of "$1").service")" --root --wd touch /tmp/end; }

restart() {
  crictl exec -s "$1" touch /tmp/end
  systemctl restart cri-nspawn.service
  eventually 20 daemon_answers
}

stop_and_start() {
  systemctl stop cri-nspawn.service
  end_within "$1"
  sleep 1
  systemctl start cri-nspawn.service
  eventually 20 daemon_answers
}

kill_it() {
  end_within "$1"
  kill_daemon
}

test_containers_survive_a_restart_of_the_daemon() {
  survives restart
}

test_containers_that_end_while_the_daemon_is_stopped_keep_their_exit_code() {
  survives stop_and_start
}

test_containers_survive_the_kill_of_the_daemon() {
  survives kill_it
}

test_containers_survive_repeated_kills_of_the_daemon() {
  several() {
    kill_daemon
    kill_daemon
    kill_it "$1"
  }
  survives several
}

test_containers_survive_a_reload_of_systemd() {
  reload() {
    end_within "$1"
    systemctl daemon-reload
  }
  survives reload
}

test_containers_survive_another_execution_of_systemd() {
  reexec() {
    end_within "$1"
    systemctl daemon-reexec
  }
  survives reexec
}

test_containers_survive_a_restart_of_machined_and_portabled() {
  restart_helpers() {
    end_within "$1"
    systemctl restart systemd-machined.service systemd-portabled.service
  }
  survives restart_helpers
}

test_containers_survive_a_restart_of_the_bus() {
  # The daemon ends with its connection, and systemd starts it anew.
  restart_bus() {
    local pid
    pid=$(daemon_pid)
    systemctl restart dbus.service
    end_within "$1"
    eventually 30 eval "[[ \$(daemon_pid) != $pid && \$(daemon_pid) != 0 ]] && daemon_answers"
  }
  survives restart_bus
}

test_calls_cut_off_by_a_kill_leave_nothing_behind() {
  local before round
  before=$(traces)
  for round in 1 2 3 4 5; do
    pod "cut$round" >/dev/null 2>&1 &
    sleep "0.0$((round * 2))"
    kill_daemon
    wait
    eventually 20 remove_all_pods
  done
  unchanged "$before"
}

test_images_survive_the_kill_of_the_daemon() {
  crictl pull "$base"
  kill_daemon
  contains "$(crictl images)" '127.0.0.1:5000/base +latest'
}
