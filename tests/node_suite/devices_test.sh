# Devices of the node that a container is given, by CRI's field and by CDI.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

test_a_device_may_be_used_as_its_permissions_say() {
  local pod_id id
  mknod "$scratch/zero" c 1 5
  pod_id=$(pod devices)
  id=$(started devices "$pod_id" main '.devices = [
      {host_path: $ARGS.positional[0], container_path: "/dev/mine", permissions: "rw"}]' "$scratch/zero")
  equals 4 "$(crictl exec -s "$id" sh -c 'head -c 4 /dev/mine | wc -c')"
  contains "$(systemctl cat "$(service_of "$id")")" "DeviceAllow=$scratch/zero rw|DeviceAllow=/dev/char/1:5 rw"
}

test_a_directory_gives_all_devices_below_it() {
  local pod_id id
  mkdir -p "$scratch/set/deep"
  mknod "$scratch/set/zero" c 1 5
  mknod "$scratch/set/deep/full" c 1 7
  ln -s zero "$scratch/set/link"
  ln -s "$scratch/set" "$scratch/set-link"
  pod_id=$(pod devices)
  id=$(started devices "$pod_id" main '.devices = [
      {host_path: $ARGS.positional[0], container_path: "/dev/set", permissions: "rwm"}]' "$scratch/set-link")
  equals 4 "$(crictl exec -s "$id" sh -c 'head -c 4 /dev/set/zero | wc -c')"
  crictl exec -s "$id" test -c /dev/set/deep/full
  refused . crictl exec -s "$id" test -e /dev/set/link
}

test_what_is_no_device_is_refused() {
  local pod_id
  pod_id=$(pod devices)
  refused 'device .*/etc/passwd.*: it is no device node' created devices "$pod_id" main '.devices = [{host_path: "/etc/passwd"}]'
  refused 'device .*/dev/none.*No such file' created devices "$pod_id" main '.devices = [{host_path: "/dev/none"}]'
}

# cdi NAME writes a specification file from standard input; it goes with the test.
cdi() {
  mkdir -p /etc/cdi /run/cdi
  cat >"$1"
  # shellcheck disable=SC2064  # the name of now is meant
  trap "rm -f /etc/cdi/tests-* /run/cdi/tests-*" EXIT
}

test_cdi_devices_edit_the_container() {
  local pod_id id
  mkdir -p "$scratch/library"
  echo content >"$scratch/library/file"
  cdi /etc/cdi/tests-one.json <<EOF_SPEC
{"cdiVersion": "0.6.0", "kind": "tests.example/device", "containerEdits": {"env": ["COMMON=yes"]},
 "devices": [{"name": "one", "containerEdits": {"env": ["ONE=1"],
   "deviceNodes": [{"path": "/dev/one", "hostPath": "/dev/zero", "permissions": "r", "fileMode": 288, "gid": 44}],
   "mounts": [{"hostPath": "$scratch/library", "containerPath": "/opt/library", "options": ["ro", "nosuid", "nodev", "rbind"]}],
   "additionalGids": [4242]}}]}
EOF_SPEC
  cdi /run/cdi/tests-two.yaml <<'EOF_SPEC'
cdiVersion: "1.0.0"
kind: tests.example/device
devices:
  - name: two
    containerEdits:
      env: [TWO=2]
      deviceNodes:
        - {path: /dev/two, type: c, major: 1, minor: 5, fileMode: 0600}
EOF_SPEC
  pod_id=$(pod cdi)
  id=$(started cdi "$pod_id" main '.CDI_devices = [{name: "tests.example/device=one"}] |
      .annotations = {"cdi.k8s.io/plugin": "tests.example/device=two"}')
  equals 'yes 1 2' "$(crictl exec -s "$id" sh -c 'echo $COMMON $ONE $TWO')"
  equals '440 44' "$(crictl exec -s "$id" stat -c '%a %g' /dev/one)"
  equals 600 "$(crictl exec -s "$id" stat -c %a /dev/two)"
  equals 4 "$(crictl exec -s "$id" sh -c 'head -c 4 /dev/two | wc -c')"
  equals content "$(crictl exec -s "$id" cat /opt/library/file)"
  contains "$(crictl exec -s "$id" grep ' /opt/library ' /proc/mounts)" 'ro,nosuid,nodev'
  contains "$(crictl exec -s "$id" id -G)" '4242'
}

test_cdi_devices_that_cannot_be_had_are_named() {
  local pod_id
  pod_id=$(pod cdi)
  refused 'unresolvable CDI devices tests.example/device=none' \
    created cdi "$pod_id" main '.CDI_devices = [{name: "tests.example/device=none"}]'
  refused 'invalid CDI device name .*none' created cdi "$pod_id" main '.CDI_devices = [{name: "none"}]'
  cdi /etc/cdi/tests-hook.json <<'EOF_SPEC'
{"cdiVersion": "0.6.0", "kind": "tests.example/hooked", "devices": [{"name": "x",
 "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/bin/true"}]}}]}
EOF_SPEC
  refused 'tests.example/hooked=x.*hooks, which is not supported' \
    created cdi "$pod_id" main '.CDI_devices = [{name: "tests.example/hooked=x"}]'
}
