# A disk that is nearly full: the kubelet has images removed, and no pod.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

available_mib() { df -BM --output=avail / | tail -n1 | tr -dc 0-9; }

pods_images_go_when_the_disk_is_nearly_full() {
  manifest staying <<EOF
containers: [{name: main, image: $nginx}]
EOF
}
test_images_go_when_the_disk_is_nearly_full() {
  local before images limit
  ready staying
  before=$(of staying "$(container main) | .containerID")
  crictl pull "$agnhost"
  images=$(crictl images -o json)
  contains "$images" "$agnhost"
  sync
  limit=$(($(available_mib) - 400))
  ((limit > 100)) || fail "there are only $(available_mib) MiB"
  configure_kubelet eviction <<EOF
evictionHard: {imagefs.available: ${limit}Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.inodesFree: 1%, memory.available: 20Mi}
# Only what has not been used for this long is removed.
imageMinimumGCAge: 1s
EOF
  ready staying
  contains "$(crictl images -o json)" "$agnhost"
  # 20 MiB beyond the limit; the image has more.
  fallocate -l $(($(available_mib) - limit + 20))M /var/tmp/filler
  eventually 180 eval '! crictl images -o json | grep -qF "$agnhost"'
  contains "$(crictl images -o json)" "$nginx"
  eventually 60 eval "(( \$(available_mib) >= $limit ))"
  equals "$before" "$(of staying "$(container main) | .containerID")" 'what runs'
  contains "$(journalctl -q --no-pager -u kubelet.service --since -300s)" 'attempting to reclaim.*(ephemeral-storage|imagefs|nodefs)'
}

after_file() {
  rm -f "$manifests"/*.yaml /var/tmp/filler
  forget_configuration eviction
  eventually 300 no_pods
}
