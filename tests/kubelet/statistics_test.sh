# Statistics and metrics that the kubelet tells, beside what the kernel counts; with and without the feature gate
# PodAndContainerStatsFromCRI.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

summary() { curl -sf --max-time 60 http://127.0.0.1:10255/stats/summary; }
summary_of() { summary | jq --arg name "$1-$(hostname)" '.pods[] | select(.podRef.name == $name)'; }
# metric POD CONTAINER NAME: its value in /metrics/cadvisor.
metric() {
  curl -sf --max-time 60 http://127.0.0.1:10255/metrics/cadvisor |
    sed -n "s/^$3{[^}]*container=\"$2\"[^}]*pod=\"$1-$(hostname)\"[^}]*} \([^ ]*\).*/\1/p" | head -n1
}
# near EXPECTED ACTUAL PERCENT WHAT
near() {
  awk -v e="$1" -v a="$2" -v p="$3" 'BEGIN { exit !(a >= e * (100 - p) / 100 && a <= e * (100 + p) / 100) }' ||
    fail "$4 is '$2', which is not within $3 % of '$1'"
}

pods_the_summary_is_plausible() {
  manifest busy <<EOF
containers:
  - name: main
    image: $busybox
    # 20 MiB of memory that stays, 10 MiB of files, and a fifth of a processor.
    command: [sh, -c, 'dd if=/dev/zero of=/dev/shm/memory bs=1M count=20; dd if=/dev/zero of=/file bs=1M count=10; sync; echo ready; while :; do :; done']
    resources: {limits: {cpu: 200m, memory: 128Mi}}
    volumeMounts: [{name: disk, mountPath: /disk}]
  - {name: quiet, image: $busybox, command: [sh, -c, 'dd if=/dev/zero of=/disk/file bs=1M count=5; sync; exec sleep inf'], volumeMounts: [{name: disk, mountPath: /disk}]}
volumes: [{name: disk, emptyDir: {}}]
EOF
}
test_the_summary_is_plausible() {
  ready busy
  eventually 120 eval 'log_of busy main | grep -q ready'
  plausible_summary
}
# plausible_summary [FILTER…]: what holds with and without the gate.
plausible_summary() {
  local stats cgroup one two
  cgroup=$(cgroup_of busy main)
  # Files are counted once a minute or so.
  eventually 200 eval '[[ $(summary_of busy | jq "(.containers[] | select(.name == \"main\") | .rootfs.usedBytes >= 10485760) and (.volume[0].usedBytes >= 5242880)") == true ]]'
  eventually 60 eval '[[ $(summary_of busy | jq "[.containers[].cpu.usageNanoCores] | all") == true ]]'
  stats=$(summary_of busy)
  equals 'main quiet' "$(jq -r '[.containers[].name] | sort | join(" ")' <<<"$stats")" 'the containers'
  main='(.containers[] | select(.name == "main"))'
  # Anonymous and shared memory, without files that can be dropped.
  near $(($(cat "$cgroup/memory.current") - $(sed -n 's/^inactive_file //p' "$cgroup/memory.stat"))) \
    "$(jq "$main.memory.workingSetBytes" <<<"$stats")" 20 'the working set'
  near 200000000 "$(jq "$main.cpu.usageNanoCores" <<<"$stats")" 40 'the use of processors'
  one=$(sed -n 's/^usage_usec //p' "$cgroup/cpu.stat")
  stats=$(summary_of busy)
  two=$(($(jq "$main.cpu.usageCoreNanoSeconds" <<<"$stats") / 1000))
  # It was measured within the last 20 s, at a fifth of a processor.
  ((two >= one - 6000000 && two <= one + 6000000)) || fail "CPU time is $two µs where the kernel says $one"
  near $((10 << 20)) "$(jq "$main.rootfs.usedBytes" <<<"$stats")" 20 'the writable layer'
  jq -e "$main.logs.usedBytes > 0" <<<"$stats"
  jq -e '.volume[] | select(.name == "disk") | .usedBytes >= 5242880 and .usedBytes < 8388608' <<<"$stats"
  jq -e '.memory.workingSetBytes > 20971520 and .cpu.usageNanoCores > 0' <<<"$stats"
  # The images' file system is the node's.
  near "$(df -B1 --output=size / | tail -n1)" "$(summary | jq .node.runtime.imageFs.capacityBytes)" 5 'the capacity for images'
  near "$(du -sB1 /var/lib/cri-nspawn/images | cut -f1)" "$(summary | jq .node.runtime.imageFs.usedBytes)" 5 'what images take'
}

test_metrics_of_containers_are_plausible() {
  ready busy
  # Without the gate they come from cAdvisor, which labels containers of only two runtimes; those of the machine are there.
  contains "$(curl -sf --max-time 60 http://127.0.0.1:10255/metrics/cadvisor)" '^machine_memory_bytes'
  contains "$(curl -sf --max-time 60 http://127.0.0.1:10255/metrics/resource)" "container_memory_working_set_bytes\{container=\"main\",namespace=\"default\",pod=\"busy-$(hostname)\"\}"
}

test_statistics_come_from_the_runtime_with_the_gate() {
  local before network value cgroup
  ready busy
  before=$(of busy '[.status.containerStatuses[] | .containerID]')
  configure_kubelet statistics <<'EOF'
featureGates: {PodAndContainerStatsFromCRI: true}
EOF
  ready busy
  equals "$before" "$(of busy '[.status.containerStatuses[] | .containerID]')" 'what runs'
  plausible_summary

  # Network and processes of pods are there now.
  curl -sf -m 20 -o /dev/null "http://$(of busy .status.podIP)/" || true
  network=$(summary_of busy | jq .network)
  jq -e '.name == "eth0" and .rxBytes > 0 and .txBytes > 0' <<<"$network"
  jq -e '.process_stats.process_count >= 2' <<<"$(summary_of busy)"

  cgroup=$(cgroup_of busy main)
  value=$(metric busy main container_memory_working_set_bytes)
  near $(($(cat "$cgroup/memory.current") - $(sed -n 's/^inactive_file //p' "$cgroup/memory.stat"))) "$value" 20 'the working set'
  value=$(metric busy main container_cpu_usage_seconds_total)
  near "$(awk '/^usage_usec/ {print $2 / 1e6}' "$cgroup/cpu.stat")" "$value" 10 'CPU seconds'
  value=$(metric busy main container_spec_memory_limit_bytes)
  equals $((128 << 20)) "$(printf '%.0f' "$value")" 'the limit'
  contains "$(curl -sf --max-time 60 http://127.0.0.1:10255/metrics/cadvisor)" \
    "^container_network_receive_bytes_total\{.*interface=\"eth0\".*pod=\"busy-$(hostname)\""
}

after_file() {
  rm -f "$manifests"/*.yaml
  forget_configuration statistics
  eventually 300 no_pods
}
