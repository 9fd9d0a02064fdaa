# Statistics, metrics and events, as crictl and a kubelet's metrics endpoint read them.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

test_a_pod_s_statistics_hold_its_containers_and_its_network() {
  local pod_id id stats
  pod_id=$(pod measured)
  id=$(started measured "$pod_id" busy '.command = ["sh", "-c", "while true; do :; done"]')
  sleep 1
  stats=$(crictl statsp -o json --id "$pod_id" --seconds 1)
  jq -e --arg id "$id" '.stats[0].linux | .cpu.usageCoreNanoSeconds.value // 0 | tonumber > 1000000' <<<"$stats"
  equals "$id" "$(jq -r '.stats[0].linux.containers[0].attributes.id' <<<"$stats")"
  equals eth0 "$(jq -r '.stats[0].linux.network.defaultInterface.name' <<<"$stats")"
  equals measured "$(jq -r '.stats[0].attributes.metadata.name' <<<"$stats")"
  # The second reading has a rate, of a process that is never idle.
  crictl stats -o json "$id" >/dev/null
  sleep 1.1
  crictl stats -o json "$id" | jq -e '.stats[0].cpu.usageNanoCores.value | tonumber > 1000000'
}

test_metrics_have_cadvisor_s_names_and_the_pod_s_labels() {
  local pod_id id metrics keys
  pod_id=$(pod measured)
  id=$(started measured "$pod_id" main)
  crictl exec -s "$id" ping -c 1 -W 1 127.0.0.1 || true
  keys=$(crictl metricdescs | jq -r '.descriptors[] | select(.name == "container_cpu_usage_seconds_total").labelKeys | join(" ")')
  equals 'container id image name namespace pod cpu' "$keys"
  metrics=$(crictl metricsp | jq --arg id "$pod_id" '.podMetrics[] | select(.podSandboxId == $id)')
  jq -e '.metrics[] | select(.name == "container_network_receive_bytes_total") | .labelValues | index("eth0") != null' <<<"$metrics"
  jq -e --arg id "$id" '.containerMetrics[] | select(.containerId == $id).metrics[]
    | select(.name == "container_cpu_usage_seconds_total").labelValues
    | .[0] == "main" and .[3] == $id and .[4] == "tests" and .[5] == "measured"' <<<"$metrics"
}

test_events_tell_the_life_of_a_pod_while_it_happens() {
  local events pod_id id
  crictl events -o json >"$scratch/events" &
  events=$!
  sleep 1
  pod_id=$(pod watched)
  id=$(started watched "$pod_id" short '.command = ["sh", "-c", "exit 3"]')
  ended "$id"
  crictl rm "$id"
  crictl rmp -f "$pod_id"
  eventually 10 grep -q "\"containerId\": *\"$pod_id\".*DELETED" <(tr -d '\n' <"$scratch/events")
  kill "$events"
  equals 'CONTAINER_CREATED_EVENT CONTAINER_STARTED_EVENT CONTAINER_STOPPED_EVENT CONTAINER_DELETED_EVENT' \
    "$(jq -rs --arg id "$id" 'map(select(.containerId == $id).containerEventType) | join(" ")' "$scratch/events")"
  equals 'CONTAINER_CREATED_EVENT CONTAINER_STARTED_EVENT CONTAINER_STOPPED_EVENT CONTAINER_DELETED_EVENT' \
    "$(jq -rs --arg id "$pod_id" 'map(select(.containerId == $id).containerEventType) | join(" ")' "$scratch/events")"
}

test_the_daemon_stops_at_once_while_somebody_follows_its_events() {
  local events begin
  crictl events >/dev/null 2>&1 &
  events=$!
  sleep 1
  begin=$SECONDS
  systemctl restart cri-nspawn.service
  kill "$events" 2>/dev/null || true
  ((SECONDS - begin < 4)) || fail "the restart took $((SECONDS - begin)) seconds"
  eventually 10 daemon_answers
}
