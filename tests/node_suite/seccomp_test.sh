# System-call filters of the pod's choice.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

readonly with_filter='.linux.security_context.seccomp = {profile_type: 2, localhost_ref: $ARGS.positional[0]}'

write_profile() { cat >"$scratch/profile.json"; }

test_a_seccomp_profile_of_the_node_is_applied() {
  local pod_id id
  write_profile <<<'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["chmod", "fchmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"},
    {"names": ["no_such_call"], "action": "SCMP_ACT_KILL"}]}'
  pod_id=$(pod filtered)
  id=$(started filtered "$pod_id" main "$with_filter" "$scratch/profile.json")
  equals 2 "$(crictl exec -s "$id" sed -n 's/^Seccomp:\t//p' /proc/1/status)"
  # Also for what is run later.
  refused 'Operation not permitted' crictl exec -s "$id" chmod 400 /
  crictl exec -s "$id" touch /file
}

test_a_seccomp_profile_holds_with_capabilities_but_not_for_the_privileged() {
  local pod_id id
  write_profile <<<'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}]}'
  pod_id=$(pod filtered '.linux.security_context.privileged = true')
  id=$(started filtered "$pod_id" able "$with_filter"' | .linux.security_context.capabilities = {add_capabilities: ["SYS_ADMIN"]}' \
    "$scratch/profile.json")
  refused . crictl exec -s "$id" hostname other
  id=$(started filtered "$pod_id" mighty "$with_filter"' | .linux.security_context.privileged = true' "$scratch/profile.json")
  equals 0 "$(crictl exec -s "$id" sed -n 's/^Seccomp:\t//p' /proc/1/status)"
}

test_broken_seccomp_profiles_are_refused_by_name() {
  local pod_id
  pod_id=$(pod filtered)
  refused 'missing.json: No such file' created filtered "$pod_id" main "$with_filter" "$scratch/missing.json"
  write_profile <<<'{"defaultAction": "SCMP_ACT_NOTIFY"}'
  refused 'SCMP_ACT_NOTIFY' created filtered "$pod_id" main "$with_filter" "$scratch/profile.json"
  write_profile <<<'{"defaultAction": "SCMP_ACT_DANCE"}'
  refused 'SCMP_ACT_DANCE' created filtered "$pod_id" main "$with_filter" "$scratch/profile.json"
  write_profile <<<'{{'
  refused 'not JSON' created filtered "$pod_id" main "$with_filter" "$scratch/profile.json"
}

test_a_container_without_a_word_on_seccomp_is_unconfined() {
  local pod_id id
  pod_id=$(pod open)
  id=$(started open "$pod_id" main)
  equals 0 "$(crictl exec -s "$id" sed -n 's/^Seccomp:\t//p' /proc/1/status)"
}
