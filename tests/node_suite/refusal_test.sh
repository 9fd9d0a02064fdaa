# Bad input gets the code and the sentence that help, and leaves nothing behind.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317  # expanded elsewhere; $scratch is the runner's; called by name

# refused_without_trace PATTERN COMMAND…: as refused, and the node is as it was before.
refused_without_trace() {
  local before
  before=$(traces)
  refused "$@"
  unchanged "$before"
}

test_an_unknown_image_is_not_found() {
  refused_without_trace 'NotFound' crictl pull "$registry/no-such-image:latest"
  refused_without_trace 'NotFound' crictl pull "$registry/base:no-such-tag"
}

test_an_invalid_reference_is_refused() {
  refused_without_trace 'InvalidArgument|[Ii]nvalid' crictl pull 'UPPER//case::'
}

test_a_registry_that_does_not_listen_is_unavailable() {
  refused_without_trace 'Unavailable.*127.0.0.1:5999|127.0.0.1:5999.*(refused|connect)' crictl pull 127.0.0.1:5999/x:latest
}

test_a_host_name_that_systemd_does_not_take_is_refused() {
  refused_without_trace 'InvalidArgument.*hostname .*my_host' pod host '.hostname = "my_host"'
}

test_an_unknown_sandbox_or_container_is_not_found() {
  local id=0123456789abcdef
  refused NotFound crictl inspectp "$id"
  refused NotFound crictl inspect "$id"
  refused NotFound crictl start "$id"
  refused NotFound crictl exec -s "$id" true
  pod donor >/dev/null
  refused_without_trace 'NotFound.*not found' created donor "$id" main
}

test_a_container_of_an_unpulled_image_is_refused() {
  local pod_id
  pod_id=$(pod unpulled)
  # shellcheck disable=SC2016
  refused_without_trace NotFound created unpulled "$pod_id" main '.image.image = "127.0.0.1:5000/unheard-of:1"'
}

test_a_missing_log_directory_is_refused() {
  refuse_log() {
    local pod_id id
    pod_id=$(pod unlogged '.log_directory = "/no/such/folder"') || return
    id=$(created unlogged "$pod_id" main) || return
    crictl start "$id"
  }
  refused '/no/such/folder' refuse_log
}

test_a_failing_network_plugin_fails_the_pod_with_its_words() {
  local status=0
  cat >/etc/cni/net.d/00-failing.conflist <<'EOF'
{"cniVersion": "1.0.0", "name": "failing", "plugins": [
  {"type": "bridge", "bridge": "cni9", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]]}},
  {"type": "no-such-plugin"}]}
EOF
  sleep 0.2
  refused_without_trace 'no-such-plugin' pod unconnected || status=1
  rm /etc/cni/net.d/00-failing.conflist
  find /var/lib/cni/networks/failing -name '10.99.*' 2>/dev/null | grep . && status=1
  ip link delete cni9 2>/dev/null || true
  return "$status"
}

test_without_network_configuration_the_network_is_not_ready() {
  local status=0
  mv /etc/cni/net.d /etc/cni/away
  mkdir /etc/cni/net.d
  network() { crictl info | jq -r '.status.conditions[] | select(.type == "NetworkReady").status'; }
  eventually 5 eval '[[ $(network) == false ]]' || status=1
  refused . pod unconnected || status=1
  rmdir /etc/cni/net.d
  mv /etc/cni/away /etc/cni/net.d
  eventually 5 eval '[[ $(network) == true ]]'
  return "$status"
}

test_an_entry_point_that_does_not_exist_is_named() {
  local pod_id id
  pod_id=$(pod lost)
  id=$(created lost "$pod_id" main '.command = ["/no/such/program"]')
  refused '/no/such/program.*([Nn]o such file|not found)' crictl start "$id"
  equals CONTAINER_EXITED "$(status "$id" .state)"
  crictl rm "$id"
}

test_a_pod_without_a_name_is_refused() {
  refused_without_trace 'InvalidArgument|metadata' pod nameless 'del(.metadata.name)'
}

test_a_slice_that_leads_elsewhere_is_refused() {
  refused_without_trace 'InvalidArgument|cgroup' pod astray '.linux.cgroup_parent = "/../../etc"'
}

test_a_malformed_configuration_is_refused_with_line_and_key() {
  printf 'log_level = "info"\n[image]\nparalel_layers = 3\n' >"$scratch/config.toml"
  refused ':3:.*paralel_layers' cri-nspawnd --check-config --config "$scratch/config.toml"
  printf 'log_level = \n' >"$scratch/config.toml"
  refused ':1:' cri-nspawnd --check-config --config "$scratch/config.toml"
}
