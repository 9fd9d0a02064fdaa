# Exec, attach and port-forward through the streaming server, by the stock client over both of its transports.
# shellcheck shell=bash disable=SC2016,SC2154  # containers' shells expand; $scratch is the runner's

transports=(spdy websocket)

# streamed COMMAND TRANSPORT ARGUMENT… runs crictl's command over the transport, for a minute at most.
streamed() { timeout 60 crictl "$1" --transport "$2" "${@:3}"; }

# pod_server POD-ID ADDRESS PORT MODE serves in the pod's network namespace until the test's end (see pod_server.py).
pod_server() {
  local namespace
  namespace=$(crictl inspectp "$1" | jq -r .info.networkNamespace)
  nsenter --net="$namespace" python3 "$(dirname "${BASH_SOURCE[0]}")/pod_server.py" "${@:2}" &
  eventually 10 eval "nsenter --net=$namespace ss --no-header --listening --tcp --numeric 'sport = :$3' | grep -q LISTEN"
}

# forwarded TRANSPORT POD-ID PORT… forwards ports of the pod until the test's end; the local ones go to $forwarded,
# its process to $forwarder and what it says to $forward_log.
forwarded() {
  forward_log=$(mktemp -p "$scratch")
  crictl port-forward --transport "$1" "$2" "${@:3}" >"$forward_log" 2>&1 &
  forwarder=$!
  eventually 10 eval "(( \$(grep -c '^Forwarding from 127.0.0.1:' $forward_log) == $# - 2 ))"
  mapfile -t forwarded < <(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) ->.*/\1/p' "$forward_log")
}

test_exec_carries_both_outputs_and_the_exit_code() {
  local id transport
  id=$(started streams "$(pod streams)" main)
  for transport in "${transports[@]}"; do
    equals 'out' "$(streamed exec "$transport" "$id" sh -c 'echo out; echo err >&2' 2>"$scratch/err")"
    equals 'err' "$(cat "$scratch/err")"
    refused 'exit code 7' streamed exec "$transport" "$id" sh -c 'exit 7'
    refused 'exit code 137' streamed exec "$transport" "$id" sh -c 'kill -9 $$'
    refused 'no-such-command' streamed exec "$transport" "$id" no-such-command
  done
}

test_exec_input_ends_with_the_clients() {
  local id transport
  id=$(started input "$(pod input)" main)
  for transport in "${transports[@]}"; do
    equals $'hello\nover' "$(echo hello | streamed exec "$transport" -i "$id" sh -c 'cat; echo over')"
    equals '' "$(streamed exec "$transport" -i "$id" cat </dev/null)"
    # The command does not wait for the rest of an input that it does not want.
    equals 'done' "$(yes | streamed exec "$transport" -i "$id" echo 'done')"
  done
}

test_exec_in_a_terminal_follows_the_clients_size() {
  local id transport
  id=$(started terminal "$(pod terminal)" main)
  for transport in "${transports[@]}"; do
    equals $'33 101\n44 122' "$(in_terminal 101 33 122 44 crictl exec -it --transport "$transport" "$id" sh -c '
      for size in "33 101" "44 122"; do
        until [ "$(stty size 2>/dev/null)" = "$size" ]; do sleep 0.1; done
        echo "$size"
      done' | tr -d '\r')"
  done
}

test_exec_leaves_no_command_behind_when_its_client_goes() {
  local id transport client
  id=$(started gone "$(pod gone)" main)
  for transport in "${transports[@]}"; do
    crictl exec --transport "$transport" "$id" sleep 7777 &
    client=$!
    eventually 10 pgrep -fx 'sleep 7777'
    kill -KILL "$client"
    eventually 10 eval "! pgrep -fx 'sleep 7777'"
  done
}

test_output_held_open_in_the_background_does_not_delay_the_end() {
  local id before=$SECONDS
  id=$(started background "$(pod background)" main)
  equals now "$(crictl exec "$id" sh -c 'sleep 20 & echo now')"
  ((SECONDS - before < 15)) || fail 'it waited for the command in the background'
}

test_a_gibibyte_through_exec_arrives_as_it_was_sent() {
  local id transport expected
  id=$(started bulk "$(pod bulk)" main)
  expected=$(bytes_of_a_gibibyte | sha256sum)
  for transport in "${transports[@]}"; do
    equals "$expected" "$(bytes_of_a_gibibyte | within 120 crictl exec -i --transport "$transport" "$id" sha256sum)"
    equals "$expected" \
      "$(bytes_of_a_gibibyte | within 120 crictl exec -i --transport "$transport" "$id" cat | sha256sum)"
  done
}
# No two blocks of it are alike, and it costs next to nothing to make.
bytes_of_a_gibibyte() { { openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 </dev/zero 2>/dev/null || true; } | head -c 1G; }

test_two_hundred_commands_run_side_by_side() {
  local id n clients=()
  id=$(started many "$(pod many)" main)
  crictl exec "$id" mkfifo /tmp/gate
  for ((n = 0; n < 200; ++n)); do
    crictl exec --transport "${transports[n % 2]}" "$id" sh -c "echo begun >>/tmp/begun; read line </tmp/gate; echo over $n" \
      >"$scratch/out.$n" &
    clients+=($!)
  done
  eventually 120 eval "(( \$(crictl exec -s $id cat /tmp/begun | grep -c begun) == 200 ))"
  # All of them come to the end of the file when its only writer goes.
  crictl exec "$id" sh -c 'exec 3<>/tmp/gate; sleep 2'
  for ((n = 0; n < 200; ++n)); do
    wait "${clients[n]}"
    equals "over $n" "$(cat "$scratch/out.$n")"
  done
}

test_several_clients_attach_to_one_container() {
  local id transport
  for transport in "${transports[@]}"; do
    id=$(started "attach-$transport" "$(pod "attach-$transport")" main '.command = ["sh", "-c", "while read line; do echo heard $line; done; echo over"] | .stdin = true')
    crictl attach --transport "$transport" "$id" >"$scratch/first" 2>&1 &
    crictl attach --transport "$transport" "$id" >"$scratch/second" 2>&1 &
    sleep 1
    # Its input ends, the container goes on, and so does the client: it ignores milder signals.
    echo hello | timeout -s KILL 5 crictl attach -i --transport "$transport" "$id" >"$scratch/third" 2>&1 || true
    for file in first second third; do eventually 10 grep -q 'heard hello' "$scratch/$file"; done
    crictl stop -t 0 "$id"
    eventually 10 eval '[[ -z $(jobs -r) ]]'
  done
}

test_ports_of_a_pod_are_forwarded() {
  local pod_id id transport n clients
  pod_id=$(pod site)
  crictl pull "$web"
  id=$(started site "$pod_id" nginx 'del(.command) | .image.image = $ARGS.positional[0]' "$web")
  pod_server "$pod_id" ::1 7001 digest
  for transport in "${transports[@]}"; do
    forwarded "$transport" "$pod_id" :80 :7001 :7999
    eventually 10 curl -fsS "http://127.0.0.1:${forwarded[0]}/"
    # Connections side by side over one session.
    clients=()
    for ((n = 0; n < 20; ++n)); do
      curl -fsS "http://127.0.0.1:${forwarded[0]}/" >"$scratch/page.$n" &
      clients+=($!)
    done
    for ((n = 0; n < 20; ++n)); do
      wait "${clients[n]}"
      cmp "$scratch/page.0" "$scratch/page.$n"
    done
    equals "$(printf hello | sha256sum | cut -d' ' -f1)" \
      "$(printf hello | python3 "$(dirname "${BASH_SOURCE[0]}")/pod_server.py" 127.0.0.1 "${forwarded[1]}" client)" 'over IPv6'
    # Nobody listens there: the client is told, and ends.
    refused 'Empty reply|reset' curl -fsS "http://127.0.0.1:${forwarded[2]}/"
    eventually 10 grep -q 'forwarding port 7999: .*refused' "$forward_log"
    kill "$forwarder" || true
    wait "$forwarder" || true
  done
}

test_a_gibibyte_through_a_forwarded_port_arrives_as_it_was_sent() {
  local pod_id transport expected
  pod_id=$(pod bulk)
  pod_server "$pod_id" 127.0.0.1 7001 digest
  pod_server "$pod_id" 127.0.0.1 7002 echo
  expected=$(bytes_of_a_gibibyte | sha256sum | cut -d' ' -f1)
  for transport in "${transports[@]}"; do
    forwarded "$transport" "$pod_id" :7001 :7002
    equals "$expected" "$(bytes_of_a_gibibyte |
      within 120 python3 "$(dirname "${BASH_SOURCE[0]}")/pod_server.py" 127.0.0.1 "${forwarded[0]}" client)" 'what was sent'
    equals "$expected" "$(bytes_of_a_gibibyte |
      within 120 python3 "$(dirname "${BASH_SOURCE[0]}")/pod_server.py" 127.0.0.1 "${forwarded[1]}" client |
      sha256sum | cut -d' ' -f1)" 'what came back'
    kill "$forwarder"
    wait "$forwarder" || true
  done
}

test_bad_requests_are_refused_and_disturb_nobody() {
  local id url root
  id=$(started bad "$(pod bad)" main)
  url=$(crictl --debug exec "$id" true 2>&1 | sed -n 's|.*Exec URL: \(http[^" ]*\).*|\1|p')
  contains "$url" '^http://127\.0\.0\.1:[0-9]+/exec/[0-9a-f]{64}$'
  root=${url%/exec/*}
  answers() { equals "$1" "$(curl -sS -o /dev/null -w '%{http_code}' "${@:2}")" "the answer to ${*:2}"; }
  answers 404 "$url" # it has been used
  answers 404 "$root/exec/$(printf '%064d' 0)"
  answers 404 "$root/exec"
  answers 404 "$root/"
  answers 405 -X DELETE "$root/exec/$(printf '%064d' 0)"
  answers 431 -H "X: $(head -c 100000 /dev/zero | tr '\0' x)" "$root/"
  equals fine "$(crictl exec "$id" echo fine)"
  refused 'is not running|not found' crictl exec "$(printf '%064d' 0)" true
  equals 127.0.0.1 "$(ss --no-header --listening --tcp --numeric --processes | sed -n 's/.* \([0-9.]*\):[0-9]* .*cri-nspawnd.*/\1/p')"
}

test_clients_must_show_their_certificate_where_that_is_configured() {
  local id transport url name flags
  daemon_configuration=/etc/cri-nspawn/config.toml  # still known when the trap is sprung
  cp "$daemon_configuration" "$scratch/config.toml"
  trap 'cp "$scratch/config.toml" "$daemon_configuration"; systemctl restart cri-nspawn.service' EXIT
  (
    cd "$scratch" || exit
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -keyout ca.key -out ca.crt -days 2
    for name in server client; do
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
      openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out "$name.crt" \
        -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1')
    done
  )
  sed -i -e "s|^#tls_certificate = .*|tls_certificate = \"$scratch/server.crt\"|" \
    -e "s|^#tls_key = .*|tls_key = \"$scratch/server.key\"|" \
    -e "s|^#tls_client_ca = .*|tls_client_ca = \"$scratch/ca.crt\"|" "$daemon_configuration"
  systemctl restart cri-nspawn.service
  id=$(started tls "$(pod tls)" main)
  flags=(--tls-ca "$scratch/ca.crt" --tls-cert "$scratch/client.crt" --tls-key "$scratch/client.key")
  for transport in "${transports[@]}"; do
    equals hello "$(echo hello | streamed exec "$transport" "${flags[@]}" -i "$id" cat)"
    equals 10000000 "$(streamed exec "$transport" "${flags[@]}" "$id" head -c 10000000 /dev/zero | wc -c)"
  done
  url=$(crictl --debug exec "${flags[@]}" "$id" true 2>&1 | sed -n 's|.*Exec URL: \(http[^" ]*\).*|\1|p')
  contains "$url" '^https://127\.0\.0\.1:'
  # Without a certificate the connection ends before any answer.
  refused 'certificate required|alert|reset' curl -sS --cacert "$scratch/ca.crt" "$url"
  equals 404 "$(curl -sS -o /dev/null -w '%{http_code}' --cacert "$scratch/ca.crt" --cert "$scratch/client.crt" \
    --key "$scratch/client.key" "$url")"
}
