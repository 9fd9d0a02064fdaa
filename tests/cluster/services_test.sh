# Services between pods, of both families of addresses, by kube-proxy.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2317

# shellcheck source=tests/cluster/cluster_lib.sh
source ./cluster_lib.sh
namespace=services

objects_of_all() {
  workload Deployment names 'replicas: 2' <<END
containers: [{name: main, image: $agnhost, args: [netexec, --http-port=8080], readinessProbe: {httpGet: {path: /hostname, port: 8080}, timeoutSeconds: 20}}]
END
  apply <<END
apiVersion: v1
kind: Service
metadata: {name: names}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  selector: {app: names}
  ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080}, {name: udp, protocol: UDP, port: 81, targetPort: 8081}]
END
  sleeper client
}
address_of_family() { of service/names ".spec.clusterIPs[] | select(contains(\":\") == $1)"; }

test_pods_have_addresses_of_both_families() {
  ready client
  rolled_out deployment/names
  equals '2 10.85. fd5a:9c3e:71b2:85:' "$(of pod/client '.status.podIPs | map(.ip) | "\(length) \(.[0][:6]) \(.[1][:18])"')" 'the addresses'
  contains "$(k exec client -- ip address show dev eth0)" "inet6 $(pod_ip client 6)/"
  contains "$(k exec client -- cat /etc/hosts)" "^$(pod_ip client)[[:space:]]+client$"
  contains "$(k exec client -- cat /etc/hosts)" "^$(pod_ip client 6)[[:space:]]+client$"
}

test_pods_reach_a_service_by_either_family() {
  ready client
  rolled_out deployment/names
  local url
  for url in "http://$(address_of_family false)/hostname" "http://[$(address_of_family true)]/hostname"; do
    eventually 120 fetch_in client "$url"
    # All of its pods answer.
    eventually 120 eval '[[ $(for _ in 1 2 3 4 5 6 7 8; do fetch_in client "$url"; echo; done | sort -u) == "$(k get pods -l app=names -o name | sed "s|pod/||" | sort)" ]]'
  done
}

test_a_service_carries_datagrams() {
  rolled_out deployment/names
  # A pod of the service sends them: it has a program that does, on demand.
  local pod
  pod=$(k get pods -l app=names -o json | jq -r '.items[0].status.podIP')
  eventually 120 eval 'fetch "http://$pod:8080/dial?protocol=udp&host=$(address_of_family false)&port=81&request=hostname&tries=1" | jq -e ".responses[0] | startswith(\"names-\")"'
}

test_a_port_of_the_node_leads_to_the_service() {
  rolled_out deployment/names
  contains "$(fetch http://10.0.2.15:30080/hostname)" '^names-'
  contains "$(fetch 'http://[fd00:10::15]:30080/hostname')" '^names-'
  # From a pod as well.
  contains "$(fetch_in client http://10.0.2.15:30080/hostname)" '^names-'
}

test_a_pod_reaches_itself_by_its_service() {
  rolled_out deployment/names
  k scale deployment/names --replicas=1
  eventually 300 eval '[[ $(k get endpointslices -l kubernetes.io/service-name=names -o json | jq "[.items[].endpoints[]?] | length") == 2 ]]'
  local only
  only=$(k get pods -l app=names -o json | jq -r '[.items[] | select(.metadata.deletionTimestamp | not)][0].metadata.name')
  eventually 120 k exec "$only" -- timeout 20 wget -qO- "http://$(address_of_family false)/hostname"
  equals "$only" "$(k exec "$only" -- timeout 60 wget -qO- "http://$(address_of_family false)/hostname")"
  k scale deployment/names --replicas=2
  rolled_out deployment/names
}

test_a_service_without_pods_refuses() {
  k create service clusterip nobody --tcp=80
  local address
  address=$(of service/nobody .spec.clusterIP)
  eventually 120 eval '! k exec client -- timeout 5 wget -qO- "http://$address/" 2>"$scratch/err" && grep -q refused "$scratch/err"'
}

test_names_of_services_are_resolved() {
  [[ -n ${COREDNS-} ]] || skip 'there is no CoreDNS'
  rolled_out deployment/names
  eventually 120 fetch_in client http://names/hostname
  contains "$(fetch_in client "http://names.$namespace.svc.cluster.local/hostname")" '^names-'
  equals "search $namespace.svc.cluster.local svc.cluster.local cluster.local" "$(k exec client -- grep ^search /etc/resolv.conf)"
  contains "$(k exec client -- nslookup "names.$namespace.svc.cluster.local")" "$(address_of_family true)"
}
