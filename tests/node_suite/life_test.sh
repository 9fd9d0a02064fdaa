# The whole life of pods and containers, as crictl drives it.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

test_the_daemon_reports_a_ready_runtime_and_network() {
  local info
  info=$(crictl info)
  equals true "$(jq -r '.status.conditions[] | select(.type == "RuntimeReady").status' <<<"$info")"
  equals true "$(jq -r '.status.conditions[] | select(.type == "NetworkReady").status' <<<"$info")"
  contains "$(crictl version)" 'RuntimeName: *cri-nspawn'
  contains "$(crictl runtime-config)" 'cgroup driver: *SYSTEMD'
}

test_images_of_every_compression_and_schema_are_pulled() {
  local tag
  for tag in base:latest base:app web:latest web:zstd web:docker; do
    crictl pull "$registry/$tag"
    crictl inspecti "$registry/$tag" | jq -e --arg tag "$registry/$tag" '.status.repoTags | index($tag) != null'
  done
  contains "$(crictl images)" '^127.0.0.1:5000/web +zstd +[0-9a-f]{13}'
}

test_a_removed_image_is_gone_and_can_be_pulled_again() {
  crictl pull "$registry/web:zstd"
  crictl rmi "$registry/web:zstd"
  refused 'no such image|not found' crictl inspecti "$registry/web:zstd"
  crictl pull "$registry/web:zstd"
}

test_a_pod_is_a_machine_in_the_slice_that_the_kubelet_names() {
  local id machine uid
  id=$(pod seen)
  machine=$(machine_of "$id")
  contains "$machine" '^tests-seen-[0-9a-f]{12}$'
  uid=$(jq -r .metadata.uid "$scratch/seen.json")
  equals "${uid//-/}" "$(machinectl show -p Id --value "$machine")" 'the machine id'
  equals "kubepods-burstable-pod${uid//-/_}.slice" "$(systemctl show -P Slice "$machine.service")"
  contains "$(machinectl status "$machine")" 'Leader: [0-9]+ \(pause\)'
  crictl rmp -f "$id"
  equals '' "$(machine_of "$id")"
}

test_a_container_is_a_portable_service_beside_its_machine() {
  local pod_id id service
  pod_id=$(pod seen)
  id=$(started seen "$pod_id" sleeper)
  service=$(service_of "$id")
  contains "$service" '^tests-seen-sleeper-[0-9a-f]{12}$'
  contains "$(portablectl list --no-legend)" "^$service .*running-runtime"
  equals active "$(systemctl is-active "$service.service")"
  contains "$(systemctl cat "$service.service")" '^\[X-Kubernetes\]$'
  equals "$(systemctl show -P Slice "$(machine_of "$pod_id").service")" "$(systemctl show -P Slice "$service.service")"
  crictl rm -f "$id"
  equals '' "$(service_of "$id")"
}

test_a_container_goes_through_its_states() {
  local pod_id id
  pod_id=$(pod life)
  id=$(created life "$pod_id" main)
  equals CONTAINER_CREATED "$(status "$id" .state)"
  crictl start "$id"
  equals CONTAINER_RUNNING "$(status "$id" .state)"
  refused 'running|state' crictl rm "$id"
  crictl stop --timeout 5 "$id"
  equals CONTAINER_EXITED "$(status "$id" .state)"
  crictl rm "$id"
  refused 'NotFound|not found' crictl inspect "$id"
}

test_exit_codes_and_reasons_are_reported() {
  local pod_id id
  pod_id=$(pod codes)
  id=$(started codes "$pod_id" good '.command = ["true"]')
  ended "$id"
  equals 0 "$(status "$id" .exitCode)"
  equals Completed "$(status "$id" .reason)"
  id=$(started codes "$pod_id" bad '.command = ["sh", "-c", "exit 42"]')
  ended "$id"
  equals 42 "$(status "$id" .exitCode)"
  equals Error "$(status "$id" .reason)"
  id=$(started codes "$pod_id" killed)
  kill -KILL "$(systemctl show -P MainPID "$(service_of "$id").service")"
  ended "$id"
  equals 137 "$(status "$id" .exitCode)"
}

test_stop_sends_the_stop_signal_and_kills_after_the_grace() {
  local pod_id id from
  pod_id=$(pod stop)
  id=$(started stop "$pod_id" polite '.command = ["sh", "-c", "trap \"exit 5\" TERM; while true; do sleep 0.1; done"]')
  crictl stop --timeout 10 "$id"
  equals 5 "$(status "$id" .exitCode)"
  id=$(started stop "$pod_id" deaf '.command = ["sh", "-c", "trap \"\" TERM; while true; do sleep 0.1; done"]')
  from=$SECONDS
  crictl stop --timeout 1 "$id"
  equals 137 "$(status "$id" .exitCode)"
  ((SECONDS - from < 5))
}

test_stop_and_remove_can_be_repeated() {
  local pod_id id
  pod_id=$(pod again)
  id=$(started again "$pod_id" main)
  crictl stop "$id"
  crictl stop "$id"
  crictl stopp "$pod_id"
  crictl stopp "$pod_id"
  equals SANDBOX_NOTREADY "$(crictl inspectp "$pod_id" | jq -r .status.state)"
  crictl rmp "$pod_id"
  # crictl asks for the status first; the call itself succeeds for what is not there.
  equals '' "$(crictl ps -aq --pod "$pod_id")"
}

test_stopping_a_pod_ends_its_containers() {
  local pod_id first second
  pod_id=$(pod whole)
  first=$(started whole "$pod_id" first)
  second=$(started whole "$pod_id" second)
  crictl stopp "$pod_id"
  equals CONTAINER_EXITED "$(status "$first" .state)"
  equals CONTAINER_EXITED "$(status "$second" .state)"
  equals '' "$(machine_of "$pod_id")"
}

test_logs_keep_streams_apart_and_mark_partial_lines() {
  local pod_id id log
  pod_id=$(pod logs)
  id=$(started logs "$pod_id" main '.command = ["sh", "-c", "echo out; echo err >&2; printf unfinished"]')
  ended "$id"
  log=$scratch/logs/logs/main.log
  eventually 5 grep -q unfinished "$log"
  contains "$(cat "$log")" '^[0-9]{4}-[0-9-]+T[0-9:.]+(Z|[+-][0-9:]+) stdout F out$'
  contains "$(cat "$log")" 'stderr F err$'
  contains "$(cat "$log")" 'stdout P unfinished$'
  contains "$(crictl logs "$id" 2>&1)" '^out$'
}

test_a_rotated_log_goes_on_in_a_new_file() {
  local pod_id id log
  pod_id=$(pod rotate)
  id=$(started rotate "$pod_id" main '.command = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.01; done"]')
  log=$scratch/logs/rotate/main.log
  eventually 5 grep -q 'line 20' "$log"
  mv "$log" "$log.1"
  crictl logs --reopen "$id" >/dev/null
  eventually 5 grep -q line "$log"
  crictl stop --timeout 0 "$id"
  # Every number once, in order, over both files.
  cat "$log.1" "$log" | sed -n 's/.* F line //p' | awk '$1 != NR {exit 1}'
}

test_exec_gives_output_streams_and_exit_code() {
  local pod_id id status=0
  pod_id=$(pod exec)
  id=$(started exec "$pod_id" main '.envs = [{key: "COLOUR", value: "green"}]')
  equals green "$(crictl exec -s "$id" sh -c 'echo $COLOUR')"
  contains "$(crictl exec -s "$id" sh -c 'echo oops >&2' 2>&1)" oops
  crictl exec -s "$id" sh -c 'exit 9' >"$scratch/out" 2>&1 || status=$?
  ((status != 0))
  contains "$(cat "$scratch/out")" '(exited with|code) 9'
  refused 'no such file|not found' crictl exec -s "$id" /no/such/program
}

test_exec_that_takes_too_long_is_killed() {
  local pod_id id
  pod_id=$(pod slow)
  id=$(started slow "$pod_id" main)
  refused 'DeadlineExceeded|timed out|timeout' crictl exec -s --timeout 1 "$id" sleep 777
  refused . crictl exec -s "$id" sh -c 'for f in /proc/[0-9]*/cmdline; do grep -q "^sleep.777" $f && exit 0; done; exit 1'
}

test_a_web_server_answers_on_its_pod_address_and_host_port() {
  local pod_id id address
  pod_id=$(pod site '.port_mappings = [{container_port: 80, host_port: 8080}]')
  crictl pull "$web"
  id=$(started site "$pod_id" nginx 'del(.command) | .image.image = $ARGS.positional[0]' "$web")
  address=$(crictl inspectp "$pod_id" | jq -r .status.network.ip)
  contains "$address" '^10\.88\.'
  eventually 5 curl -fsS "http://$address/"
  contains "$(curl -fsS "http://$address/")" 'served by nginx'
  contains "$(curl -fsS "http://$address:80/")" 'portable service'
  eventually 5 curl -fsS --max-time 2 "http://$(ip -4 -o address show cni0 | awk '{sub("/.*", "", $4); print $4}'):8080/"
  contains "$(crictl exec -s "$id" ls /etc/nginx)" 'nginx.conf'
  lacks "$(crictl exec -s "$id" ls /etc/nginx)" 'sites-available'
}

test_containers_of_a_pod_share_its_network_and_hostname() {
  local pod_id first second
  pod_id=$(pod shared '.hostname = "together"')
  first=$(started shared "$pod_id" first '.command = ["sh", "-c", "while true; do echo hi | nc -l -p 9000; done"]')
  second=$(started shared "$pod_id" second)
  equals together "$(crictl exec -s "$second" hostname)"
  eventually 5 crictl exec -s "$second" sh -c 'nc 127.0.0.1 9000 </dev/null | grep hi'
  equals "$(crictl exec -s "$first" readlink /proc/self/ns/net)" "$(crictl exec -s "$second" readlink /proc/self/ns/net)"
  lacks "$(crictl exec -s "$first" readlink /proc/self/ns/net)" "^$(readlink /proc/self/ns/net)$"
}

test_lists_are_filtered_by_label_state_and_id() {
  local one two id
  one=$(pod one '.labels = {app: "a"}')
  two=$(pod two '.labels = {app: "b"}')
  equals "$one" "$(crictl pods -q --label app=a --no-trunc)"
  equals "$two" "$(crictl pods -q --id "${two:0:10}" --no-trunc)"
  crictl stopp "$two"
  equals "$one" "$(crictl pods -q --state ready --no-trunc)"
  id=$(created one "$one" main '.labels = {tier: "front"}')
  equals "$id" "$(crictl ps -aq --no-trunc --label tier=front)"
  equals '' "$(crictl ps -q --no-trunc)"
  equals "$id" "$(crictl ps -aq --no-trunc --state created --pod "$one")"
}

test_statistics_show_what_a_container_uses() {
  local pod_id id
  pod_id=$(pod stats)
  id=$(started stats "$pod_id" main '.command = ["sh", "-c", "while true; do :; done"]')
  sleep 0.3
  crictl stats -o json --seconds 0 "$id" | jq -e '.stats[0].cpu.usageCoreNanoSeconds.value | tonumber > 1000000'
}

test_resources_of_a_container_are_those_of_its_unit() {
  local pod_id id service
  pod_id=$(pod limits)
  id=$(started limits "$pod_id" main \
    '.linux.resources = {memory_limit_in_bytes: 67108864, cpu_shares: 512, cpu_period: 100000, cpu_quota: 50000}')
  service=$(service_of "$id").service
  equals 67108864 "$(systemctl show -P MemoryMax "$service")"
  equals 500ms "$(systemctl show -P CPUQuotaPerSecUSec "$service")"
}
