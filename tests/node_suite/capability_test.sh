# Capabilities, and who may be privileged.
# shellcheck shell=bash disable=SC2154  # $scratch is the runner's

set_of() { crictl exec -s "$1" sed -n "s/^Cap$2:\t//p" /proc/1/status; }

test_ambient_capabilities_reach_a_user_that_is_not_root() {
  local pod_id id
  pod_id=$(pod ambient)
  id=$(started ambient "$pod_id" main '.linux.security_context += {run_as_user: {value: 1000}, no_new_privs: true,
      capabilities: {drop_capabilities: ["ALL"], add_capabilities: ["NET_BIND_SERVICE"],
      add_ambient_capabilities: ["NET_BIND_SERVICE"]}}')
  equals 0000000000000400 "$(set_of "$id" Eff)" 'the effective set'
  equals 0000000000000400 "$(set_of "$id" Amb)" 'the ambient set'
  # What is run later has them too.
  equals 0000000000000400 "$(crictl exec -s "$id" sed -n 's/^CapEff:\t//p' /proc/self/status)"
}

test_all_capabilities_are_added_and_dropped_by_all() {
  local pod_id id all
  all=$(sed -n 's/^CapBnd:\t//p' /proc/1/status)
  pod_id=$(pod all)
  id=$(started all "$pod_id" every '.linux.security_context.capabilities = {add_capabilities: ["ALL"]}')
  equals "$all" "$(set_of "$id" Eff)"
  id=$(started all "$pod_id" almost \
    '.linux.security_context.capabilities = {add_capabilities: ["ALL"], drop_capabilities: ["CHOWN"]}')
  equals "$(printf '%016x' $((0x$all & ~1)))" "$(set_of "$id" Eff)"
  id=$(started all "$pod_id" none '.linux.security_context.capabilities = {drop_capabilities: ["ALL"]}')
  equals 0000000000000000 "$(set_of "$id" Eff)"
}

test_a_privileged_container_needs_a_privileged_pod() {
  local pod_id
  pod_id=$(pod plain)
  refused 'privileged container is only allowed' \
    created plain "$pod_id" main '.linux.security_context.privileged = true'
}
