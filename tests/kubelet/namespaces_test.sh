# Namespaces that pods share with the node or not, and what belongs to them: names, ports, sysctls.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

# namespace_of POD CONTAINER KIND, and the node's own.
namespace_of() { in_pod "$1" "$2" readlink "/proc/self/ns/$3"; }
own_namespace() { readlink "/proc/self/ns/$1"; }
differs() { [[ $1 != "$2" ]] || fail "both are '$1'"; }

pods_namespaces_of_the_host_are_shared_when_asked() {
  manifest of-the-host <<EOF
hostNetwork: true
hostPID: true
hostIPC: true
containers:
  - {name: main, image: $busybox, command: [sleep, inf]}
  - {name: server, image: $agnhost, args: [netexec, --http-port=18080, --udp-port=-1]}
EOF
  manifest of-its-own <<EOF
containers:
  - {name: main, image: $busybox, command: [sleep, inf]}
  - {name: other, image: $busybox, command: [sleep, '12345']}
EOF
}
test_namespaces_of_the_host_are_shared_when_asked() {
  local kind
  ready of-the-host
  ready of-its-own
  for kind in net pid ipc; do
    equals "$(own_namespace $kind)" "$(namespace_of of-the-host main $kind)" "the namespace $kind"
    differs "$(own_namespace $kind)" "$(namespace_of of-its-own main $kind)"
  done
  for kind in uts mnt cgroup; do differs "$(own_namespace $kind)" "$(namespace_of of-its-own main $kind)"; done
  equals systemd "$(in_pod of-the-host main cat /proc/1/comm)" 'process 1'
  equals "$(hostname)" "$(in_pod of-the-host main hostname)" 'the host name'
  equals "of-its-own-$(hostname)" "$(in_pod of-its-own main hostname)" 'the host name'
  equals 'of-the-host' "$(of of-the-host '.metadata.name' | sed "s/-$(hostname)$//")"
  curl -sf -m 20 http://127.0.0.1:18080/hostname
  # Containers of a pod have network and IPC in common, and processes of their own.
  equals "$(namespace_of of-its-own main net)" "$(namespace_of of-its-own other net)" 'network'
  equals "$(namespace_of of-its-own main ipc)" "$(namespace_of of-its-own other ipc)" 'IPC'
  differs "$(namespace_of of-its-own main pid)" "$(namespace_of of-its-own other pid)"
  lacks "$(in_pod of-its-own main ps)" 12345
}

pods_processes_are_shared_when_asked() {
  manifest sharing <<EOF
shareProcessNamespace: true
containers:
  - {name: main, image: $busybox, command: [sleep, inf], securityContext: {capabilities: {add: [SYS_PTRACE]}}}
  - {name: other, image: $busybox, command: [sh, -c, 'echo mine >/tmp/file; exec sleep 23456']}
EOF
}
test_processes_are_shared_when_asked() {
  local pid
  ready sharing
  pid=$(in_pod sharing main ps | awk '/sleep 23456/ {print $1; exit}')
  differs 1 "$pid"
  equals "$(namespace_of sharing main pid)" "$(namespace_of sharing other pid)" 'the namespace'
  equals mine "$(in_pod sharing main cat "/proc/$pid/root/tmp/file")" "the other container's file"
  in_pod sharing main sh -c "kill -9 $pid"
  becomes sharing "$(container other) | .restartCount == 1 and .ready"
  equals 0 "$(of sharing "$(container main) | .restartCount")" 'restarts of the first container'
}

pods_host_ports_lead_to_pods() {
  manifest host-port <<EOF
containers:
  - name: main
    image: $agnhost
    args: [netexec, --http-port=8080, --udp-port=8081]
    ports:
      - {containerPort: 8080, hostPort: 18081}
      - {containerPort: 8081, hostPort: 18082, protocol: UDP}
      - {containerPort: 8080, hostPort: 18083, hostIP: 127.0.0.1}
EOF
}
test_host_ports_lead_to_pods() {
  local address=10.0.2.15
  ready host-port
  eventually 60 curl -sf -m 20 "http://$address:18081/hostname"
  equals "host-port-$(hostname)" "$(curl -sf -m 20 "http://$address:18081/hostname")"
  equals "host-port-$(hostname)" "$(curl -sf -m 20 http://127.0.0.1:18083/hostname)"
  refused . curl -sS -f -m 5 "http://$address:18083/hostname"
  equals "host-port-$(hostname)" "$(python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(b"hostname", (sys.argv[1], 18082))
print(s.recv(1000).decode().strip())' "$address")" 'the answer by UDP'
}

pods_user_namespaces_are_their_own() {
  local name
  mkdir -p "$shared/mapped"
  chmod 1777 "$shared/mapped"
  for name in mapped-one mapped-two; do
    manifest $name <<EOF
hostUsers: false
containers:
  - name: main
    image: $busybox
    command: [sleep, inf]
    volumeMounts: [{name: disk, mountPath: /disk}, {name: host, mountPath: /host}]
volumes:
  - {name: disk, emptyDir: {}}
  - {name: host, hostPath: {path: $shared/mapped}}
EOF
  done
}
test_user_namespaces_are_their_own() {
  local one two uid
  ready mapped-one
  ready mapped-two
  one=$(in_pod mapped-one main cat /proc/self/uid_map | xargs) two=$(in_pod mapped-two main cat /proc/self/uid_map | xargs)
  contains "$one" '^0 [1-9][0-9]* 65536$'
  differs "$one" "$two"
  equals 0 "$(in_pod mapped-one main id -u)" 'the user inside'
  in_pod mapped-one main touch /disk/file /host/file
  equals 0 "$(in_pod mapped-one main stat -c %u /disk/file)" 'the owner inside'
  # The kernel maps the files of volumes back.
  uid=$(of mapped-one .metadata.uid)
  equals 0 "$(stat -c %u "/var/lib/kubelet/pods/$uid/volumes/kubernetes.io~empty-dir/disk/file")" 'the owner on the node'
  equals 0 "$(stat -c %u "$shared/mapped/file")" 'the owner on the node'
  local pid
  pid=$(pid_of mapped-one main)
  equals "$(cut -d' ' -f2 <<<"$one")" "$(stat -c %u "/proc/$pid")" 'the user on the node'
}

pods_sysctls_are_set_or_refused() {
  manifest sysctls <<EOF
securityContext:
  sysctls:
    - {name: net.ipv4.ip_local_port_range, value: '20000 30000'}
    - {name: kernel.shm_rmid_forced, value: '1'}
    - {name: net.ipv4.ip_unprivileged_port_start, value: '0'}
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
  manifest unsafe-sysctl <<EOF
securityContext: {sysctls: [{name: kernel.msgmax, value: '65536'}]}
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
}
test_sysctls_are_set_or_refused() {
  local before
  before=$(xargs </proc/sys/net/ipv4/ip_local_port_range)
  ready sysctls
  equals '20000 30000' "$(in_pod sysctls main cat /proc/sys/net/ipv4/ip_local_port_range | xargs)"
  equals 1 "$(in_pod sysctls main cat /proc/sys/kernel/shm_rmid_forced)"
  equals 0 "$(in_pod sysctls main cat /proc/sys/net/ipv4/ip_unprivileged_port_start)"
  equals "$before" "$(xargs </proc/sys/net/ipv4/ip_local_port_range)" "the node's range"
  equals 0 "$(cat /proc/sys/kernel/shm_rmid_forced)" "the node's value"
  becomes unsafe-sysctl '.status.phase == "Failed"'
  equals SysctlForbidden "$(of unsafe-sysctl .status.reason)" 'the reason'
}

pods_names_are_as_asked() {
  manifest named <<EOF
hostname: chosen
subdomain: below
hostAliases: [{ip: 192.0.2.7, hostnames: [alias.example, other.example]}]
dnsPolicy: None
dnsConfig: {nameservers: [192.0.2.53], searches: [one.example, two.example], options: [{name: ndots, value: '3'}, {name: rotate}]}
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
  manifest dns-of-node <<EOF
dnsPolicy: Default
containers: [{name: main, image: $busybox, command: [sleep, inf]}]
EOF
}
test_names_are_as_asked() {
  ready named
  equals chosen "$(in_pod named main hostname)" 'the host name'
  contains "$(in_pod named main cat /etc/hosts)" '^192.0.2.7[[:space:]]+alias.example[[:space:]]+other.example$'
  contains "$(in_pod named main cat /etc/hosts)" "^$(of named .status.podIP)[[:space:]]+chosen"
  equals 'search one.example two.example nameserver 192.0.2.53 options ndots:3 rotate' "$(in_pod named main cat /etc/resolv.conf | sort -r | sort -k1,1r | awk '/^search/{s=$0} /^nameserver/{n=$0} /^options/{o=$0} END{print s, n, o}')"
  ready dns-of-node
  equals "$(grep -v '^#' /etc/resolv.conf)" "$(in_pod dns-of-node main cat /etc/resolv.conf)" 'resolv.conf'
}
