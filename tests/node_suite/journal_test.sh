# Containers' lines in the journal of the host, where the configuration asks for them.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

test_lines_of_containers_are_among_the_hosts_when_configured() {
  local pod_id id unit entry
  pod_id=$(pod told)
  # Of this one nothing is asked yet.
  started told "$pod_id" before '.command = ["sh", "-c", "echo not for the journal; sleep 1000"]'
  eventually 20 grep -q 'not for the journal' "$scratch/logs/told/before.log"
  setting container_output true
  id=$(started told "$pod_id" teller '.command = ["sh", "-c", "echo a first line; echo an error >&2; sleep 1000"]')
  unit=$(service_of "$id").service
  # Among what the daemon says of it, under a name of their own.
  eventually 20 eval '[[ $(journalctl -q --no-pager -o cat CONTAINER_NAME=teller SYSLOG_IDENTIFIER=teller CRI_CONTAINER_ID=$id | sort | paste -sd" ") == "a first line an error" ]]'
  entry=$(journalctl -q --no-pager -o json CONTAINER_NAME=teller CRI_CONTAINER_ID="$id" | jq -c 'select(.MESSAGE == "an error")')
  equals "told tests $pod_id $unit 3" \
    "$(jq -r '"\(.K8S_POD_NAME) \(.K8S_NAMESPACE_NAME) \(.CRI_SANDBOX_ID) \(.OBJECT_SYSTEMD_UNIT) \(.PRIORITY)"' <<<"$entry")"
  # Where people look first.
  contains "$(journalctl -q --no-pager -o cat -u "$unit")" '^a first line$'
  contains "$(systemctl status --no-pager --full "$unit")" 'teller\[?.*: a first line$'
  # The log file of the kubelet has them all the same.
  equals 'a first line' "$(lines_of "$scratch/logs/told/teller.log")"
  equals '' "$(journalctl -q --no-pager -o cat SYSLOG_IDENTIFIER=before CRI_SANDBOX_ID="$pod_id")" 'what came before'
}
