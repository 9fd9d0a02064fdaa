# Plugins and containers that behave as badly as they can.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

test_a_plugin_that_hangs_is_ended_and_holds_up_nothing_else() {
  local before waiting id from plugin=/opt/cni/bin/hangs list=/etc/cni/net.d/00-hangs.conflist
  local settings=/etc/cri-nspawn/config.toml
  before=$(traces)
  id=$(started good "$(pod good)" main)
  printf '#!/bin/sh\n[ "$CNI_COMMAND" != ADD ] || { : >%s/hangs; exec sleep 12345; }\n' "$scratch" |
    install -D -m 755 /dev/stdin "$plugin"
  echo '{"cniVersion": "1.0.0", "name": "hangs", "plugins": [{"type": "hangs"}]}' >"$list"
  cp "$settings" "$scratch/config.toml"
  # shellcheck disable=SC2064  # the names of now are meant
  trap "rm -f '$plugin' '$list'; cp '$scratch/config.toml' '$settings'; systemctl restart cri-nspawn.service" EXIT
  sed -i 's/^#plugin_timeout .*/plugin_timeout = "8s"/' "$settings"
  systemctl restart cri-nspawn.service
  eventually 20 daemon_answers
  pod hung >"$scratch/hung" 2>&1 &
  waiting=$!
  eventually 20 test -e "$scratch/hangs"
  from=$SECONDS
  inside "$id" true
  crictl pods >/dev/null
  crictl stats >/dev/null
  crictl rm "$(created good "$(crictl pods -q --name good)" other)" >/dev/null
  kill -0 "$waiting" || fail 'the plugin does not hang'
  ((SECONDS - from < 8)) || fail 'calls waited for the plugin'
  # As a kubelet does whose first call timed out.
  refused 'hangs.* failed \(add\): timeout' crictl runp "$scratch/hung.json"
  ! wait "$waiting" || fail 'the pod runs'
  contains "$(<"$scratch/hung")" 'hangs.* failed \(add\): timeout'
  [[ -z $(pgrep -f 'sleep 12345') ]] || fail 'the plugin is still there'
  rm "$list"
  eventually 10 crictl runp "$scratch/hung.json"
  equals 1 "$(crictl pods -q --name hung | wc -l)" 'the number of pods'
  remove_all_pods
  unchanged "$before"
}

test_a_container_that_has_forked_and_ignores_signals_is_killed_whole() {
  local id cgroup
  id=$(started forks "$(pod forks)" main '.command = ["sh", "-c",
    "trap \"\" TERM HUP INT; i=0; while [ $i -lt 300 ]; do setsid sleep 1000 & i=$((i + 1)); done; echo all; wait"]')
  eventually 20 grep -q 'F all' "$scratch/logs/forks/main.log"
  cgroup=/sys/fs/cgroup$(systemctl show -P ControlGroup "$(service_of "$id").service")
  eventually 20 eval "((\$(wc -l <$cgroup/cgroup.procs) == 301))"
  crictl stop --timeout 1 "$id"
  equals 137 "$(status "$id" .exitCode)"
  [[ ! -e $cgroup ]] || equals '' "$(<"$cgroup/cgroup.procs")" 'what is left'
}

test_a_container_that_forks_without_end_comes_to_its_limit() {
  local pod_id id cgroup
  grep -qw pids /sys/fs/cgroup/cgroup.controllers || skip 'this kernel gives the node no pids controller'
  pod_id=$(pod bomb)
  id=$(started bomb "$pod_id" main '.linux.resources.unified = {"pids.max": "50"} | .command = ["sh", "-c",
    "while :; do sleep 1000 & done & exec sleep 1000"]')
  cgroup=/sys/fs/cgroup$(systemctl show -P ControlGroup "$(service_of "$id").service")
  eventually 30 eval "((\$(sed -n 's/^max //p' $cgroup/pids.events) > 0))"
  (($(<"$cgroup/pids.current") <= 50))
  inside "$(started bomb "$pod_id" neighbour)" true
  crictl rmp -f "$pod_id"
  [[ ! -e $cgroup ]] || equals '' "$(<"$cgroup/cgroup.procs")" 'what is left'
}

test_a_container_that_fills_its_log_loses_no_line_and_holds_up_nothing_else() {
  local pod_id id other log=$scratch/logs/fills/main.log
  pod_id=$(pod fills)
  other=$(started fills "$pod_id" other)
  id=$(started fills "$pod_id" main '.command = ["sh", "-c", "yes a line of some length | head -n 1000000; echo end"]')
  eventually 20 test -s "$log"
  timeout 10 crictl exec -s "$other" true
  timeout 10 crictl ps >/dev/null
  mv "$log" "$log.1"
  crictl logs --reopen "$id" || in_state "$id" EXITED
  eventually 120 in_state "$id" EXITED
  equals 0 "$(status "$id" .exitCode)"
  equals 1000000 "$(cat "$log.1" "$log" | grep -c ' stdout F a line of some length$')" 'the number of lines'
  equals 1000001 "$(cat "$log.1" "$log" | wc -l)" 'the number of records'
  rm "$log" "$log.1"
}

test_containers_that_end_at_once_have_all_their_states() {
  local pod_id id i
  pod_id=$(pod short)
  for i in {1..20}; do
    id=$(created short "$pod_id" "c$i" '.command = ["/bin/false"]')
    crictl start "$id" >/dev/null
    ended "$id"
    equals '1 Error' "$(crictl inspect "$id" | jq -r '.status | "\(.exitCode) \(.reason)"')"
    crictl inspect "$id" | jq -e '.status | .createdAt <= .startedAt and .startedAt <= .finishedAt' >/dev/null
  done
  equals 20 "$(crictl ps -a -q --pod "$pod_id" | wc -l)"
}

test_output_without_a_newline_is_logged_and_needs_no_memory() {
  local id before after log=$scratch/logs/long/main.log
  memory() { sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(daemon_pid)/status"; }
  id=$(created long "$(pod long)" main '.command = ["sh", "-c", "head -c 268435456 /dev/zero | tr \"\\0\" x"]')
  before=$(memory)
  crictl start "$id" >/dev/null
  eventually 300 in_state "$id" EXITED
  after=$(memory)
  equals 0 "$(status "$id" .exitCode)"
  equals 268435456 "$(sed 's/^[^ ]* stdout [PF] //' "$log" | tr -d '\n' | wc -c)" 'the number of bytes'
  lacks "$(cut -d' ' -f3 "$log" | sort | uniq -c | awk '{print $2, ($2 == "F" && $1 > 1)}')" '^[^PF]|1$'
  ((after - before < 16384)) || fail "the daemon has grown by $((after - before)) kB"
  rm "$log"
}
