# AppArmor, on nodes whose kernel has it.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

has_apparmor() { [[ -r /sys/kernel/security/apparmor/profiles && $(cat /sys/module/apparmor/parameters/enabled) == Y ]]; }
confinement_of() { crictl exec -s "$1" cat /proc/1/attr/current | tr -d '\0'; }

test_containers_are_confined_by_the_default_profile() {
  local pod_id id
  has_apparmor || skip 'no AppArmor on this kernel'
  pod_id=$(pod armored '.linux.security_context.privileged = true')
  id=$(started armored "$pod_id" main)
  equals 'cri-nspawn-default (enforce)' "$(confinement_of "$id")"
  equals 'cri-nspawn-default (enforce)' "$(crictl exec -s "$id" cat /proc/self/attr/current)"
  crictl exec -s "$id" touch /file
  id=$(started armored "$pod_id" able '.linux.security_context.capabilities = {add_capabilities: ["SYS_ADMIN"]}')
  refused 'denied|Permission' crictl exec -s "$id" mount -t tmpfs none /tmp
  id=$(started armored "$pod_id" open '.linux.security_context.apparmor = {profile_type: 1}')
  equals unconfined "$(confinement_of "$id")"
  id=$(started armored "$pod_id" mighty '.linux.security_context.privileged = true')
  equals unconfined "$(confinement_of "$id")"
}

test_the_default_profile_comes_back_when_it_was_unloaded() {
  local pod_id id
  has_apparmor || skip 'no AppArmor on this kernel'
  pod_id=$(pod armored)
  apparmor_parser --remove /etc/apparmor.d/cri-nspawn-default
  id=$(started armored "$pod_id" main)
  equals 'cri-nspawn-default (enforce)' "$(confinement_of "$id")"
}

test_an_apparmor_profile_of_the_node_is_applied() {
  local pod_id id
  has_apparmor || skip 'no AppArmor on this kernel'
  cat >"$scratch/profile" <<'EOF_PROFILE'
profile tests-deny-write flags=(attach_disconnected) {
  file,
  capability,
  signal,
  deny /tmp/** w,
}
EOF_PROFILE
  apparmor_parser --replace --skip-cache "$scratch/profile"
  pod_id=$(pod armored)
  refused 'apparmor profile not found tests-no-such' created armored "$pod_id" none \
    '.linux.security_context.apparmor = {profile_type: 2, localhost_ref: "tests-no-such"}'
  id=$(started armored "$pod_id" main \
    '.linux.security_context.apparmor = {profile_type: 2, localhost_ref: "localhost/tests-deny-write"}')
  refused 'denied' crictl exec -s "$id" touch /tmp/file
  id=$(started armored "$pod_id" old '.linux.security_context.apparmor_profile = "localhost/tests-deny-write"')
  refused 'denied' crictl exec -s "$id" touch /tmp/file
  crictl rmp -f "$pod_id"
  apparmor_parser --remove "$scratch/profile"
}

test_without_apparmor_a_profile_of_the_node_is_an_error() {
  local pod_id
  ! has_apparmor || skip 'this kernel has AppArmor'
  pod_id=$(pod armored)
  refused 'apparmor is not supported' created armored "$pod_id" main \
    '.linux.security_context.apparmor = {profile_type: 2, localhost_ref: "mine"}'
  started armored "$pod_id" default '.linux.security_context.apparmor = {profile_type: 0}'
}
