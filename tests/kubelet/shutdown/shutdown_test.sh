# After tests/kubelet/shutdown/run: pods were ended in time and in order, and run again.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

at() { head -n1 "$shared/shutdown/$1"; }

test_a_shutdown_ends_pods_in_order() {
  test "$(cat /proc/sys/kernel/random/boot_id)" != "$(at boot)"
  # Each had the time that it took, and critical pods were told only then.
  (($(at ordinary-ended) >= $(at ordinary-told) + 3))
  (($(at critical-ended) >= $(at critical-told) + 3))
  (($(at critical-told) >= $(at ordinary-ended)))
}

test_pods_run_again_after_a_restart_of_the_node() {
  local name
  for name in ordinary critical; do
    ready $name
    test "$(of $name "$(container main) | .containerID")" != "$(at $name-id)"
    equals 2 "$(wc -l <"$shared/shutdown/$name-started")" 'how often it was started'
  done
  # Of those before nothing is left but what the kubelet keeps.
  equals '' "$(systemctl list-units --failed --no-legend --plain 'default-*')" 'failed units'
  eventually 200 eval '(( $(crictl pods -q | wc -l) <= 4 ))'
}
