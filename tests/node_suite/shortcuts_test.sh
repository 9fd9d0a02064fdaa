# The setting plugin_shortcuts.
# shellcheck shell=bash

# The rules for a pod as iptables-save prints them, without what is its own.
rules_of() {
  local chain
  chain=$(iptables-save -t nat | sed -n "s/^-A POSTROUTING .*id: ..$1.* -j //p")
  iptables-save -t nat | grep -e "$1" -e "$chain" | sed -e "s/$1/ID/; s/$chain/CHAIN/g; s/-s [0-9./]*/-s ADDRESS/"
}

test_with_shortcuts_pods_have_the_same_rules_and_leave_none() {
  local before without with ports
  before=$(traces)
  without=$(pod without)
  setting plugin_shortcuts true
  with=$(pod with)
  ports=$(pod ports '.port_mappings = [{container_port: 7000, host_port: 17004}]')
  contains "$(rules_of "$with")" 'MASQUERADE'
  equals "$(rules_of "$without")" "$(rules_of "$with")"
  contains "$(iptables-save -t nat)" '--dport 17004 .*DNAT.*:7000'
  # One kind removes what the other has made.
  crictl rmp -f "$without" >/dev/null
  setting plugin_shortcuts false
  crictl rmp -f "$with" >/dev/null
  crictl rmp -f "$ports" >/dev/null
  equals '' "$(iptables-save -t nat | grep -e "$without" -e "$with" -e "$ports" -e 'dport 17004' || true)"
  equals '' "$(iptables-save -t nat | grep '^:CNI-' | grep -v '^:CNI-HOSTPORT-' || true)"
  unchanged "$before"
}
