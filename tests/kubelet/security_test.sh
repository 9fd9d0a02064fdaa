# Every field of securityContext, of pods and of containers.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

# What a process says of itself: status_line POD CONTAINER FIELD.
status_line() { in_pod "$1" "$2" sed -n "s/^$3:[[:space:]]*//p" /proc/1/status; }

pods_users_and_groups_are_as_asked() {
  manifest users <<EOF
securityContext: {runAsUser: 1000, runAsGroup: 3000, supplementalGroups: [4000, 4001], fsGroup: 5000, fsGroupChangePolicy: OnRootMismatch}
containers:
  - {name: of-pod, image: $busybox, command: [sleep, inf]}
  - {name: of-its-own, image: $busybox, command: [sleep, inf], securityContext: {runAsUser: 2000, runAsGroup: 2001}}
EOF
  manifest strict-groups <<EOF
securityContext: {runAsUser: 1000, supplementalGroups: [4000], supplementalGroupsPolicy: Strict}
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
  manifest merged-groups <<EOF
securityContext: {runAsUser: 1000, supplementalGroups: [4000], supplementalGroupsPolicy: Merge}
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
  manifest not-root <<EOF
securityContext: {runAsNonRoot: true}
containers:
  - {name: root, image: $busybox, command: [sleep, inf]}
  - {name: user, image: $busybox, command: [sleep, inf], securityContext: {runAsUser: 1000}}
EOF
}
test_users_and_groups_are_as_asked() {
  ready users
  # With groups of the image's, of which user 1000 has staff, 50.
  equals '1000 3000 50 4000 4001 5000' "$(in_pod users of-pod sh -c 'id -u; id -g; id -G | tr " " "\n" | grep -vx 3000 | sort -n' | xargs)"
  equals '2000 2001' "$(in_pod users of-its-own sh -c 'id -u; id -g' | xargs)"
  ready strict-groups
  ready merged-groups
  lacks "$(in_pod strict-groups main id -G)" '\b50\b'
  contains "$(in_pod strict-groups main id -G)" '\b4000\b'
  contains "$(in_pod merged-groups main id -G)" '\b50\b'
  # The group is that of the image's /etc/passwd.
  equals '1000 1000' "$(of strict-groups "$(container main) | .user.linux | \"\(.uid) \(.gid)\"")" 'the user in the status'
  becomes not-root "$(container user) | .state.running != null"
  becomes not-root "$(container root) | .state.waiting.reason == \"CreateContainerConfigError\""
  contains "$(of not-root "$(container root) | .state.waiting.message")" 'image will run as root'
}

pods_capabilities_and_privileges_are_as_asked() {
  manifest capabilities <<EOF
containers:
  - {name: default, image: $busybox, command: [sleep, inf]}
  - {name: added, image: $busybox, command: [sleep, inf], securityContext: {capabilities: {add: [NET_ADMIN, SYS_TIME]}}}
  - {name: none, image: $busybox, command: [sleep, inf], securityContext: {capabilities: {drop: [ALL]}}}
  - {name: one, image: $busybox, command: [sleep, inf], securityContext: {capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}}
  - {name: privileged, image: $busybox, command: [sleep, inf], securityContext: {privileged: true}}
  - {name: no-more, image: $busybox, command: [sleep, inf], securityContext: {allowPrivilegeEscalation: false}}
  - {name: read-only, image: $busybox, command: [sleep, inf], securityContext: {readOnlyRootFilesystem: true}}
EOF
}
test_capabilities_and_privileges_are_as_asked() {
  ready capabilities
  equals 00000000a80425fb "$(status_line capabilities default CapEff)" 'the default set'
  equals 00000000aa0435fb "$(status_line capabilities added CapEff)" 'the set'
  equals 0000000000000000 "$(status_line capabilities none CapBnd)" 'the set'
  equals 0000000000000400 "$(status_line capabilities one CapEff)" 'the set'
  equals "$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/1/status)" "$(status_line capabilities privileged CapEff)" 'the set'
  equals 0 "$(status_line capabilities default NoNewPrivs)" 'NoNewPrivs'
  equals 1 "$(status_line capabilities no-more NoNewPrivs)" 'NoNewPrivs'
  refused 'Read-only file system' in_pod capabilities read-only touch /file
  in_pod capabilities read-only touch /dev/shm/file
  in_pod capabilities privileged test -b /dev/vda
  refused . in_pod capabilities default test -e /dev/vda
  refused 'Read-only file system' in_pod capabilities default sh -c 'echo 1 >/proc/sys/kernel/printk'
}

pods_seccomp_is_as_asked() {
  mkdir -p /var/lib/kubelet/seccomp/profiles
  cat >/var/lib/kubelet/seccomp/profiles/no-chmod.json <<'EOF'
{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod", "fchmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}]}
EOF
  manifest seccomp <<EOF
securityContext: {seccompProfile: {type: RuntimeDefault}}
containers:
  - {name: of-pod, image: $busybox, command: [sleep, inf]}
  - {name: unconfined, image: $busybox, command: [sleep, inf], securityContext: {seccompProfile: {type: Unconfined}}}
  - {name: local, image: $busybox, command: [sleep, inf], securityContext: {seccompProfile: {type: Localhost, localhostProfile: profiles/no-chmod.json}}}
EOF
  manifest no-seccomp-profile <<EOF
containers:
  - {name: main, image: $busybox, command: [sleep, inf], securityContext: {seccompProfile: {type: Localhost, localhostProfile: profiles/missing.json}}}
EOF
}
test_seccomp_is_as_asked() {
  ready seccomp
  equals '2 0 2' "$(for name in of-pod unconfined local; do status_line seccomp $name Seccomp; done | xargs)" 'the modes'
  refused 'not permitted' in_pod seccomp local chmod 600 /etc/hostname
  in_pod seccomp of-pod chmod 700 /tmp
  becomes no-seccomp-profile "$(container main) | .state.waiting.reason == \"CreateContainerError\""
  contains "$(of no-seccomp-profile "$(container main) | .state.waiting.message")" 'profiles/missing.json'
}

pods_apparmor_is_as_asked() {
  cat >/etc/apparmor.d/kubelet-tests <<'EOF'
abi <abi/3.0>,
include <tunables/global>
profile kubelet-tests flags=(attach_disconnected, mediate_deleted) {
  include <abstractions/base>
  file,
  capability,
  network,
  signal,
  deny /denied/** rwklx,
}
EOF
  apparmor_parser -r /etc/apparmor.d/kubelet-tests
  manifest apparmor <<EOF
containers:
  - {name: default, image: $busybox, command: [sleep, inf]}
  - {name: local, image: $busybox, command: [sh, -c, 'mkdir /denied; exec sleep inf'], securityContext: {appArmorProfile: {type: Localhost, localhostProfile: kubelet-tests}}}
  - {name: unconfined, image: $busybox, command: [sleep, inf], securityContext: {appArmorProfile: {type: Unconfined}}}
EOF
  manifest no-apparmor-profile <<EOF
containers:
  - {name: main, image: $busybox, command: [sleep, inf], securityContext: {appArmorProfile: {type: Localhost, localhostProfile: missing-profile}}}
EOF
}
test_apparmor_is_as_asked() {
  ready apparmor
  equals 'cri-nspawn-default (enforce)' "$(in_pod apparmor default cat /proc/1/attr/current)"
  equals 'kubelet-tests (enforce)' "$(in_pod apparmor local cat /proc/1/attr/current)"
  equals unconfined "$(in_pod apparmor unconfined cat /proc/1/attr/current)"
  refused 'Permission denied' in_pod apparmor local touch /denied/file
  becomes no-apparmor-profile "$(container main) | .state.waiting.reason == \"CreateContainerError\""
  contains "$(of no-apparmor-profile "$(container main) | .state.waiting.message")" 'missing-profile'
}

pods_proc_is_masked_unless_asked() {
  manifest proc-mount <<EOF
hostUsers: false
containers:
  - {name: masked, image: $busybox, command: [sleep, inf]}
  - {name: unmasked, image: $busybox, command: [sleep, inf], securityContext: {procMount: Unmasked}}
EOF
}
test_proc_is_masked_unless_asked() {
  ready proc-mount
  equals 0 "$(in_pod proc-mount masked sh -c 'cat /proc/timer_list 2>/dev/null | wc -c')" 'what is to be read of a masked file'
  contains "$(in_pod proc-mount masked cat /proc/mounts)" ' /proc/sys '
  lacks "$(in_pod proc-mount unmasked cat /proc/mounts)" ' /proc/(sys|timer_list|kcore) '
}
