# The Debian package, /root/cri-nspawn.deb, which is installed when these begin and when they end.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # containers' shells expand; $scratch is the runner's

package=/root/cri-nspawn.deb

install_package() {
  dpkg -i "$package"
  eventually 20 daemon_answers
}

test_installing_starts_the_daemon() {
  systemctl is-enabled cri-nspawn.service
  systemctl is-active cri-nspawn.service
  equals ok "$(dpkg-query -Wf '${db:Status-Status}' cri-nspawn | sed 's/^installed$/ok/')"
  # A node has no documentation.
  equals '' "$(dpkg --verify cri-nspawn | grep -Ev ' /usr/share/(doc|man)/' || true)" 'what differs from the package'
  # crictl finds it without an option, and there is a network.
  contains "$(env -u CONTAINER_RUNTIME_ENDPOINT crictl version)" 'RuntimeName: *cri-nspawn'
  equals true "$(crictl info | jq -r '.status.conditions[] | select(.type == "NetworkReady").status')"
  local pod_id id
  pod_id=$(pod first)
  id=$(started first "$pod_id" main)
  in_state "$id" RUNNING
}

test_an_upgrade_touches_no_container() {
  local pod_id id terminal daemon process
  pod_id=$(pod kept)
  id=$(started kept "$pod_id" main '.command = ["sh", "-c", "i=0; while sleep 0.1; do echo $i; i=$((i + 1)); done"]')
  terminal=$(started kept "$pod_id" terminal '.tty = true | .command = ["sleep", "1000"]')
  daemon=$(daemon_pid) process=$(crictl inspect "$id" | jq .info.pid)
  install_package
  [[ $(daemon_pid) != "$daemon" ]] || fail 'the daemon of before still runs'
  equals "$process" "$(crictl inspect "$id" | jq .info.pid)" 'the process of the container'
  in_state "$id" RUNNING
  in_state "$terminal" RUNNING
  crictl stop --timeout 0 "$id"
  # Each number once, in order.
  sed 's/^[^ ]* stdout F //' "$scratch/logs/kept/main.log" >"$scratch/lines"
  seq 0 $(($(wc -l <"$scratch/lines") - 1)) | diff - "$scratch/lines"
}

test_removal_leaves_no_container_and_no_mount() {
  local before one two
  before=$(traces)
  echo '# kept' >>/etc/cri-nspawn/config.toml
  one=$(pod one)
  two=$(pod two '.linux.security_context.namespace_options = {network: 2}')
  started one "$one" main
  started two "$two" main
  # Also when the daemon does not run at this moment.
  systemctl stop cri-nspawn.service
  contains "$(dpkg -r cri-nspawn 2>&1)" 'removed 2 pods'
  equals '' "$(systemctl list-units --all --state=loaded --no-legend --plain 'tests-*' 'cri-nspawn*')" 'what is left of units'
  unchanged "$before"
  equals '' "$(pgrep -f '^/usr/lib/cri-nspawn' || true)" 'what is left of processes'
  contains "$(</etc/cri-nspawn/config.toml)" '^# kept$'
  install_package
  contains "$(</etc/cri-nspawn/config.toml)" '^# kept$'
  contains "$(crictl images)" 'base'
}

test_purging_removes_the_state() {
  dpkg --purge cri-nspawn
  equals '' "$(ls -d /etc/cri-nspawn /var/lib/cri-nspawn /run/cri-nspawn /etc/crictl.yaml \
    /etc/apparmor.d/cri-nspawn-default 2>/dev/null)" 'what is left'
  install_package
  equals '' "$(crictl images -q)" 'the images'
}
