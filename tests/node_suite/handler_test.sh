# Runtime handlers of the configuration.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

readonly configuration=/etc/cri-nspawn/config.toml

# configured: adds standard input to the configuration until the test ends.
configured() {
  cp "$configuration" "$scratch/config.toml"
  # shellcheck disable=SC2064  # the name of now is meant
  trap "cp '$scratch/config.toml' '$configuration'; systemctl restart cri-nspawn.service" EXIT
  cat >>"$configuration"
  systemctl restart cri-nspawn.service
  eventually 20 daemon_answers
}

# pod_of HANDLER NAME [JQ-FILTER]
pod_of() {
  pod "$2" "${3-.}" >/dev/null
  crictl rmp -f "$(crictl pods -q --name "$2")" >/dev/null
  crictl runp --runtime "$1" "$scratch/$2.json"
}

test_a_runtime_handler_sets_defaults_of_its_pods() {
  local pod_id id
  echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}]}' \
    >"$scratch/profile.json"
  configured <<EOF_CONFIGURATION
[runtime_handlers.strict]
seccomp = "$scratch/profile.json"
capabilities = ["CHOWN", "KILL"]
privileged_without_host_devices = true
user_namespaces = "refused"
EOF_CONFIGURATION
  pod_id=$(pod_of strict handled '.linux.security_context.privileged = true')
  equals strict "$(crictl inspectp "$pod_id" | jq -r .status.runtimeHandler)"
  id=$(started handled "$pod_id" main '.linux.security_context.seccomp = {profile_type: 0}')
  equals 0000000000000021 "$(crictl exec -s "$id" sed -n 's/^CapEff:\t//p' /proc/1/status)"
  refused 'not permitted' crictl exec -s "$id" chmod 400 /
  id=$(started handled "$pod_id" mighty '.linux.security_context.privileged = true')
  refused . crictl exec -s "$id" test -e /dev/kmsg
  contains "$(crictl info | jq -c '[.runtimeHandlers[].name]')" '"strict"'
}

test_an_unknown_runtime_handler_is_refused() {
  pod plain >/dev/null
  crictl rmp -f "$(crictl pods -q --name plain)" >/dev/null
  refused 'no runtime handler .*kata.* is configured' crictl runp --runtime kata "$scratch/plain.json"
}

test_a_runtime_handler_may_need_user_namespaces() {
  configured <<'EOF_CONFIGURATION'
[runtime_handlers.users]
user_namespaces = "required"
EOF_CONFIGURATION
  pod plain >/dev/null
  crictl rmp -f "$(crictl pods -q --name plain)" >/dev/null
  refused 'needs pods with a user namespace' crictl runp --runtime users "$scratch/plain.json"
}
