# What the protocol asks of a runtime and conformance tests do not check.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

# pulled REFERENCE pulls an image and prints what the answer calls it.
pulled() { crictl pull "$1" | sed -n 's/^Image is up to date for //p'; }

test_every_call_calls_an_image_the_same() {
  local image pod_id id
  image=$(pulled "$base")
  contains "$image" '^sha256:[0-9a-f]{64}$'
  equals "$image" "$(crictl inspecti "$base" | jq -r .status.id)"
  pod_id=$(pod ids)
  id=$(started ids "$pod_id" main)
  equals "$image" "$(status "$id" .imageId)"
  equals "$image" "$(crictl ps -o json | jq -r '.containers[0].imageId')"
  # The kubelet names images by what it was told.
  id=$(started ids "$pod_id" again '.image.image = $ARGS.positional[0]' "$image")
  equals "$image" "$(status "$id" .imageId)"
}

test_removing_one_name_of_an_image_removes_all() {
  local image
  skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$registry/base:app" "docker://$registry/other/name:1"
  image=$(pulled "$registry/base:app")
  equals "$image" "$(pulled "$registry/other/name:1")"
  equals "$registry/base:app $registry/other/name:1" \
    "$(crictl inspecti "$image" | jq -r '.status.repoTags | sort | join(" ")')"
  crictl rmi "$registry/other/name:1"
  refused 'no such image|not found' crictl inspecti "$registry/base:app"
  refused 'no such image|not found' crictl inspecti "$image"
}

test_pinned_images_are_told_to_the_kubelet() {
  setting pinned "[\"$registry/base:*\"]"
  crictl pull "$web"
  local pinned
  pinned=$(crictl images -o json | jq -r --arg base "$base" --arg web "$web" \
    '.images | map({key: .repoTags[0], value: .pinned}) | from_entries | "\(.[$base]) \(.[$web])"')
  equals 'true false' "$pinned"
}

test_labels_and_annotations_come_back_unaltered() {
  local pod_id id strange
  strange='{"plain": "a", "empty": "", "x.y/z": "line\none\ttab \"quoted\" \\ $HOME %n %%", "ünï": "✓ \u0001"}'
  pod_id=$(pod strange ".labels = $strange | .annotations = $strange")
  id=$(started strange "$pod_id" main ".labels = $strange | .annotations = $strange")
  local kind
  for kind in labels annotations; do
    equals "$(jq -S . <<<"$strange")" "$(crictl inspectp "$pod_id" | jq -S ".status.$kind")" "the pod's $kind"
    equals "$(jq -S . <<<"$strange")" "$(crictl inspect "$id" | jq -S ".status.$kind")" "the container's $kind"
    equals "$(jq -S . <<<"$strange")" "$(crictl ps -o json | jq -S ".containers[0].$kind")" "the listed $kind"
  done
}

test_the_status_of_a_container_has_what_the_kubelet_asked_for() {
  local pod_id id
  mkdir "$scratch/volume"
  pod_id=$(pod asked)
  id=$(started asked "$pod_id" main '.mounts = [{container_path: "/data", host_path: $ARGS.positional[0], readonly: true}]
    | .linux.resources = {cpu_shares: 512, cpu_period: 100000, cpu_quota: 50000}
    | .linux.security_context += {run_as_user: {value: 1000}, supplemental_groups: [2000]}' "$scratch/volume")
  equals "/data $scratch/volume true" "$(status "$id" '.mounts[0] | "\(.containerPath) \(.hostPath) \(.readonly)"')"
  equals '512 100000 50000' \
    "$(status "$id" '.resources.linux | "\(.cpuShares) \(.cpuPeriod) \(.cpuQuota)"')"
  # User app of the image is in its group staff, 50.
  equals '1000 1000 50 1000 2000' \
    "$(status "$id" '.user.linux | [.uid, .gid] + (.supplementalGroups | map(tonumber) | sort) | map(tostring) | join(" ")')"
  equals "$(inside "$id" id -G | tr ' ' '\n' | sort -n | xargs)" '50 1000 2000'
  equals "$scratch/logs/asked/main.log" "$(status "$id" .logPath)"
  # Also after the daemon was away.
  kill_daemon
  equals 1000 "$(status "$id" .user.linux.uid)"
}

test_the_log_of_a_container_that_does_not_run_cannot_be_reopened() {
  local pod_id id
  pod_id=$(pod quiet)
  id=$(created quiet "$pod_id" main)
  refused 'not running' crictl logs --reopen "$id"
  crictl start "$id"
  crictl stop -t 0 "$id"
  refused 'not running' crictl logs --reopen "$id"
}

test_output_of_a_command_is_cut_where_a_message_ends() {
  local pod_id id length
  pod_id=$(pod wordy)
  id=$(started wordy "$pod_id" main)
  length=$(inside "$id" head -c 20000000 /dev/zero | wc -c)
  ((length > 16 * 1024 * 1024 - 10000 && length <= 16 * 1024 * 1024)) || fail "$length bytes arrived"
}

test_containers_of_a_pod_share_their_memory_files() {
  local pod_id other_id first second stranger
  pod_id=$(pod memory)
  first=$(started memory "$pod_id" first)
  second=$(started memory "$pod_id" second)
  other_id=$(pod elsewhere)
  stranger=$(started elsewhere "$other_id" main)
  inside "$first" sh -c 'echo shared >/dev/shm/word'
  equals shared "$(inside "$second" cat /dev/shm/word)"
  refused 'No such file' inside "$stranger" cat /dev/shm/word
  refused 'No such file' cat /dev/shm/word
}

test_a_pod_finds_itself_in_its_hosts_file() {
  local pod_id id address
  pod_id=$(pod hosts '.hostname = "box"')
  address=$(crictl inspectp "$pod_id" | jq -r .status.network.ip)
  id=$(started hosts "$pod_id" main)
  contains "$(inside "$id" cat /etc/hosts)" "^${address}[[:space:]]+box"
  contains "$(inside "$id" cat /etc/hosts)" '^127\.0\.0\.1[[:space:]]+localhost'
  equals box "$(inside "$id" hostname)"
}

# echo_in POD-ID PORT sends back what comes to a port of the pod, until the test's end.
echo_in() {
  local namespace
  namespace=$(crictl inspectp "$1" | jq -r .info.networkNamespace)
  nsenter --net="$namespace" python3 "$(dirname "${BASH_SOURCE[0]}")/echo.py" serve "$2" &
  echo_server=$!
}
# answers ADDRESS PORT PROTOCOL
answers() { python3 "$(dirname "${BASH_SOURCE[0]}")/echo.py" ask "$@"; }
address_of() { ip -o "$1" address show "$2" scope global | awk '{sub("/.*", "", $4); print $4}'; }

test_host_ports_lead_to_the_pod_by_tcp_and_udp_and_on_one_address_only() {
  local pod_id node echo_server
  pod_id=$(pod ports '.port_mappings = [
    {protocol: 0, container_port: 7000, host_port: 17000},
    {protocol: 1, container_port: 7000, host_port: 17000},
    {protocol: 0, container_port: 7000, host_port: 17001, host_ip: "127.0.0.1"}]')
  echo_in "$pod_id" 7000
  node=$(address_of -4 cni0)
  eventually 5 answers "$node" 17000 tcp
  answers 127.0.0.1 17000 tcp
  answers "$node" 17000 udp
  answers 127.0.0.1 17001 tcp
  refused Error answers "$node" 17001 tcp
  kill "$echo_server"
  crictl rmp -f "$pod_id"
  refused Error answers "$node" 17000 tcp
  equals '' "$(iptables-save | grep -E 'dports? 1700[01]' || true)"
}

test_a_host_port_of_sctp_is_asked_of_the_network() {
  pod sctp '.port_mappings = [{protocol: 2, container_port: 7000, host_port: 17002}]'
  contains "$(iptables-save -t nat)" '-p sctp .*--dport 17002 .*DNAT.*:7000'
}

test_a_pod_has_addresses_of_both_families() {
  local file=/etc/cni/net.d/05-both.conflist pod_id id six echo_server
  [[ -e /proc/sys/net/ipv6 ]] || skip 'this kernel has no IPv6'
  jq '.name = "both" | .plugins[0].bridge = "cni6" | .plugins[0].ipam.ranges += [[{subnet: "fd00:88::/64"}]]
    | .plugins[0].ipam.ranges[0][0].subnet = "10.89.0.0/16" | .plugins[0].ipam.routes += [{dst: "::/0"}]' \
    /etc/cni/net.d/10-pod-network.conflist >"$scratch/both.conflist"
  # shellcheck disable=SC2064  # the file of now is meant
  trap "rm -f '$file'" EXIT
  cp "$scratch/both.conflist" "$file"
  eventually 5 eval '[[ $(crictl info | jq -r .info.cni.name) == both ]]'
  pod_id=$(pod both '.port_mappings = [{container_port: 7000, host_port: 17003}]')
  contains "$(crictl inspectp "$pod_id" | jq -r .status.network.ip)" '^10\.89\.'
  six=$(crictl inspectp "$pod_id" | jq -r '.status.network.additionalIps[0].ip')
  contains "$six" '^fd00:88::'
  id=$(started both "$pod_id" main)
  contains "$(inside "$id" ip -6 address)" "$six/64"
  echo_in "$pod_id" 7000
  eventually 5 answers 127.0.0.1 17003 tcp
  eventually 8 answers "$(address_of -6 cni6)" 17003 tcp
  kill "$echo_server"
  crictl rmp -f "$pod_id"
}
