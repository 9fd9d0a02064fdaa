# Logs of containers: rotation by the kubelet while they are written.
# shellcheck shell=bash disable=SC2016,SC2154,SC2317

# shellcheck source=tests/kubelet/kubelet_lib.sh
source ./kubelet_lib.sh

pods_rotation_loses_no_line() {
  configure_kubelet logs <<'EOF'
containerLogMaxSize: 1Mi
containerLogMaxFiles: 100
containerLogMonitorInterval: 3s
EOF
  # About 6 MiB in log files, in bursts and with pauses.
  manifest talkative <<EOF
restartPolicy: Never
containers:
  - name: main
    image: $busybox
    command:
      - sh
      - -c
      - |
        n=0
        while [ \$n -lt 40 ]; do
          awk -v n=\$n 'BEGIN { for (i = 1; i <= 1500; i++) print "a line of the kind that programs write, number " n * 1500 + i }'
          n=\$((n + 1))
          sleep 1
        done
EOF
}
test_rotation_loses_no_line() {
  local folder file
  becomes talkative "$has_ended" 600
  folder=/var/log/pods/default_talkative-$(hostname)_$(of talkative .metadata.uid)/main
  # By name they are in order of time, and the one that is written last is plain 0.log.
  for file in "$folder"/0.log.*; do case $file in *.gz) zcat "$file" ;; *) cat "$file" ;; esac; done >"$scratch/lines"
  cat "$folder/0.log" >>"$scratch/lines"
  (($(find "$folder" -name '0.log.*' | wc -l) >= 3)) || fail "there was too little rotation: $(ls -la "$folder")"
  # Every file but the last grew beyond the limit and not far beyond.
  equals '' "$(find "$folder" -name '0.log*' -size +4096k)" 'files that are too large'
  diff <(seq 1 60000) <(sed 's/.* number //' "$scratch/lines") >"$scratch/diff" || fail "lines are missing or twice: $(head -n 20 "$scratch/diff")"
  contains "$(log_of talkative main | tail -n1)" 'number 60000$'
}

pods_logs_are_read_in_part() {
  manifest read-in-part <<EOF
containers:
  - {name: main, image: $busybox, command: [sh, -c, 'seq 1 1000; echo trouble >&2; exec sleep inf']}
  - {name: crashed, image: $busybox, command: [sh, -c, 'if [ -e /seen/it ]; then exec sleep inf; fi; touch /seen/it; echo before; exit 1'], volumeMounts: [{name: seen, mountPath: /seen}]}
volumes: [{name: seen, emptyDir: {}}]
EOF
}
test_logs_are_read_in_part() {
  ready read-in-part
  equals '999 1000 trouble' "$(log_of read-in-part 'main?tailLines=3' | paste -sd ' ')"
  equals 4 "$(log_of read-in-part 'main?limitBytes=4' | wc -c)" 'the count of bytes'
  contains "$(log_of read-in-part 'main?tailLines=1&timestamps=true')" '^20[0-9-]+T[0-9:.]+(Z|[+-][0-9:]+) trouble$'
  equals before "$(log_of read-in-part 'crashed?previous=true')"
  # Following ends when the container does.
  local id
  id=$(id_of read-in-part main)
  timeout 120 curl -skfN "https://127.0.0.1:10250/containerLogs/default/read-in-part-$(hostname)/main?follow=true" >"$scratch/followed" &
  eventually 60 grep -q trouble "$scratch/followed"
  crictl stop --timeout 0 "$id"
  wait $!
  equals 1001 "$(wc -l <"$scratch/followed")" 'the count of lines'
}

after_file() {
  rm -f "$manifests"/*.yaml
  forget_configuration logs
  eventually 300 no_pods
}
