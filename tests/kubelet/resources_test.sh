# Requests and limits, in the control groups of pods and containers, and what happens at the limits.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

oom_score_of() { cat "/proc/$(pid_of "$1" "$2")/oom_score_adj"; }

pods_qos_classes_have_their_slices() {
  manifest guaranteed <<EOF
containers:
  - {name: main, image: $busybox, command: [sleep, inf], resources: {limits: {cpu: 100m, memory: 32Mi}}}
EOF
  manifest burstable <<EOF
containers:
  - {name: main, image: $busybox, command: [sleep, inf], resources: {requests: {cpu: 50m, memory: 16Mi}, limits: {memory: 64Mi}}}
EOF
  manifest best-effort <<EOF
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
}
test_qos_classes_have_their_slices() {
  local cgroup
  ready guaranteed
  ready burstable
  ready best-effort
  equals 'Guaranteed Burstable BestEffort' "$(for name in guaranteed burstable best-effort; do of $name .status.qosClass; done | xargs)"

  cgroup=$(cgroup_of guaranteed main)
  contains "$cgroup" '^/sys/fs/cgroup/kubepods.slice/kubepods-pod[0-9a-f_]+\.slice/[^/]*\.service$'
  equals '10000 100000' "$(cat "$cgroup/cpu.max")" cpu.max
  equals $((32 << 20)) "$(cat "$cgroup/memory.max")" memory.max
  equals 1 "$(cat "$cgroup/memory.oom.group")" memory.oom.group
  # The pod's own slice has the limits of all its containers.
  equals "10000 100000 $((32 << 20))" "$(cat "${cgroup%/*}/cpu.max" "${cgroup%/*}/memory.max" | xargs)" "the pod's limits"
  contains "$(oom_score_of guaranteed main)" '^-99[0-9]$'

  cgroup=$(cgroup_of burstable main)
  contains "$cgroup" '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod'
  equals 'max 100000' "$(cat "$cgroup/cpu.max")" cpu.max
  equals $((64 << 20)) "$(cat "$cgroup/memory.max")" memory.max
  contains "$(oom_score_of burstable main)" '^[0-9]{1,3}$'

  cgroup=$(cgroup_of best-effort main)
  contains "$cgroup" '/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod'
  equals max "$(cat "$cgroup/memory.max")" memory.max
  equals 1 "$(cat "$cgroup/cpu.weight")" cpu.weight
  equals 1000 "$(oom_score_of best-effort main)" oom_score_adj
  # A weight for each share, between the two.
  (($(cat "$(cgroup_of guaranteed main)/cpu.weight") > $(cat "$(cgroup_of burstable main)/cpu.weight")))
}

pods_too_much_memory_is_reported_as_oom_killed() {
  manifest greedy <<EOF
restartPolicy: Never
containers:
  - {name: main, image: $busybox, command: [sh, -c, 'tail /dev/zero'], resources: {limits: {memory: 20Mi}}}
  - {name: beside, image: $busybox, command: [sh, -c, 'sleep 30']}
EOF
  manifest greedy-again <<EOF
containers: [{name: main, image: $busybox, command: [sh, -c, 'sleep 3; tail /dev/zero'], resources: {limits: {memory: 20Mi}}}]
EOF
}
test_too_much_memory_is_reported_as_oom_killed() {
  becomes greedy "$has_ended"
  equals 'OOMKilled 137' "$(of greedy "$(container main).state.terminated | \"\(.reason) \(.exitCode)\"")"
  equals 'Completed 0' "$(of greedy "$(container beside).state.terminated | \"\(.reason) \(.exitCode)\"")" 'the other container'
  becomes greedy-again "$(container main) | .restartCount >= 1 and .lastState.terminated.reason == \"OOMKilled\""
}

pods_a_whole_pod_has_limits() {
  manifest whole-pod <<EOF
resources: {requests: {cpu: 40m, memory: 24Mi}, limits: {cpu: 200m, memory: 48Mi}}
containers:
  - {name: one, image: $busybox, command: [sleep, inf]}
  - {name: two, image: $busybox, command: [sleep, inf], resources: {limits: {memory: 20Mi}}}
EOF
}
test_a_whole_pod_has_limits() {
  local slice
  ready whole-pod
  slice=$(dirname "$(cgroup_of whole-pod two)")
  equals "20000 100000 $((48 << 20))" "$(cat "$slice/cpu.max" "$slice/memory.max" | xargs)" "the pod's limits"
  equals $((20 << 20)) "$(cat "$(cgroup_of whole-pod two)/memory.max")" 'the limit of a container'
}
